package bug

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/dlock-go/dlock/chaos/store"
)

// TestBugsFit: every bug still fits the sources.
func TestBugsFit(t *testing.T) {
	bugs, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(bugs) < 10 {
		t.Errorf("only %d bugs", len(bugs))
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/dlock-go/dlock").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := strings.TrimSpace(string(out))
	for _, b := range bugs {
		// That it can be built is seen by those who build it.
		if _, err := b.Overlay(root, t.TempDir()); err != nil {
			t.Error(err)
		}
	}
}

// TestBugsEverywhere: there is a bug for each primitive of each store.
func TestBugsEverywhere(t *testing.T) {
	bugs, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	makers, err := store.Select("")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range makers {
		for _, primitive := range []string{"mutex", "rw", "semaphore"} {
			if !slices.ContainsFunc(bugs, func(b Bug) bool { return b.Backend == m.Name && b.Primitive == primitive }) {
				t.Errorf("none of a %s on %s", primitive, m.Name)
			}
		}
	}
}
