package dlock_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/dlock-go/dlock"

// A layer is the packages that match a pattern of path.Match, relative to the
// module, and the patterns of those that they may import.
type layer struct {
	pkg   string
	below []string
}

// layers says which packages of the module each may import, tests aside. The
// way down is dlock → coordinator → session → backend ← drivers; what is not
// written here is forbidden.
var layers = []layer{
	{"internal/*", nil},
	{"backend", nil},
	{"backend/internal/*", []string{"backend"}},
	{"backend/backendtest", []string{"backend", "internal/leak"}},
	{"backend/file", []string{"backend", "backend/file/internal/*"}},
	{"backend/file/internal/notify", []string{"backend/file/internal/flock"}},
	{"backend/file/internal/*", nil},
	{"backend/redis", []string{"backend", "backend/redis/internal/*"}},
	{"backend/redis/internal/redislock", []string{"backend"}},
	{"backend/redis/internal/redisconn", []string{"backend", "backend/redis/internal/redislock"}},
	{"backend/redis/internal/quorum/vote", []string{"backend", "internal/chain", "backend/redis/internal/redislock"}},
	{"backend/redis/internal/*", []string{"backend", "backend/internal/mailbox", "internal/chain", "backend/redis/internal/redisconn", "backend/redis/internal/redislock", "backend/redis/internal/quorum/vote"}},
	{"backend/postgres", []string{"backend", "backend/internal/mailbox", "internal/chain", "backend/postgres/internal/*"}},
	{"backend/postgres/internal/pgsql", []string{"backend"}},
	{"backend/postgres/internal/*", nil},
	{"backend/*", []string{"backend", "backend/internal/mailbox", "internal/chain"}},
	{"session", []string{"backend", "internal/throttle"}},
	{"coordinator", []string{"internal/chain", "session", "backend", "internal/throttle"}},
	{".", []string{"coordinator", "backend", "internal/serial", "internal/throttle"}},
	{"dlocktest", []string{".", "backend", "internal/leak"}},
	{"cmd/*", []string{".", "backend", "backend/*"}},
}

// clients are the libraries that a program links only with their driver.
var clients = []string{"github.com/jackc/pgx", "github.com/redis/go-redis"}

type listed struct {
	ImportPath string
	Standard   bool
	Doc        string
	Imports    []string
	Deps       []string
}

// list runs go list on the packages of the module as they are on an operating
// system.
func list(t *testing.T, goos string, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Standard,Doc,Imports,Deps"}, args...)...)
	cmd.Env = append(os.Environ(), "GOOS="+goos)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var pkgs []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// everywhere runs a test for each kind of operating system.
func everywhere(t *testing.T, test func(t *testing.T, goos string)) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		t.Run(goos, func(t *testing.T) { test(t, goos) })
	}
}

// relative returns the path of a package within the module.
func relative(pkg string) (string, bool) {
	if pkg == module {
		return ".", true
	}
	return strings.CutPrefix(pkg, module+"/")
}

func matches(pkg string) func(pattern string) bool {
	return func(pattern string) bool {
		ok, _ := path.Match(pattern, pkg)
		return ok
	}
}

func TestImportsGoOneWay(t *testing.T) {
	everywhere(t, func(t *testing.T, goos string) {
		for _, p := range list(t, goos, "./...") {
			pkg, _ := relative(p.ImportPath)
			i := slices.IndexFunc(layers, func(l layer) bool { return matches(pkg)(l.pkg) })
			if i < 0 {
				t.Errorf("%s is in no layer", pkg)
				continue
			}
			for _, imported := range p.Imports {
				if below, ours := relative(imported); ours && !slices.ContainsFunc(layers[i].below, matches(below)) {
					t.Errorf("%s imports %s", pkg, below)
				}
			}
		}
	})
}

func TestContractNeedsTheStandardLibraryAlone(t *testing.T) {
	everywhere(t, func(t *testing.T, goos string) {
		for _, p := range list(t, goos, "-deps", "./backend") {
			if !p.Standard && p.ImportPath != module+"/backend" {
				t.Errorf("backend reaches %s", p.ImportPath)
			}
		}
	})
}

// Who imports the root package links no client, and what decides by votes needs none.
func TestNoClientOfAStore(t *testing.T) {
	everywhere(t, func(t *testing.T, goos string) {
		for _, p := range list(t, goos, ".", "./backend/redis/internal/quorum/vote") {
			for _, dep := range p.Deps {
				for _, client := range clients {
					if strings.HasPrefix(dep, client) {
						t.Errorf("%s reaches %s", p.ImportPath, dep)
					}
				}
			}
		}
	})
}

func TestEveryPackageHasAComment(t *testing.T) {
	for _, p := range list(t, "linux", "./...") {
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
