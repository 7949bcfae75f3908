// Package bug makes dlock wrong on purpose, at build time only: a harness that
// finds nothing is believed once it has found these.
package bug

import (
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dlock-go/dlock/chaos/check"
)

//go:embed bugs/*.txt
var files embed.FS

// A Bug is a change of dlock's own sources, and where it is to be seen.
type Bug struct {
	Name      string
	Backend   string
	Primitive string
	Expected  []int // the invariants of which one has to catch it
	Patches   []Patch
}

// A Patch replaces a piece of a file, which must be there exactly once: a bug
// that no longer fits the sources is an error, not one that nobody finds.
type Patch struct {
	File     string // relative to the module
	Old, New string
}

// Load returns all bugs, in the order of their files.
func Load() ([]Bug, error) {
	entries, err := files.ReadDir("bugs")
	if err != nil {
		return nil, err
	}
	var bugs []Bug
	for _, e := range entries {
		text, err := files.ReadFile("bugs/" + e.Name())
		if err != nil {
			return nil, err
		}
		b, err := parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		bugs = append(bugs, b)
	}
	return bugs, nil
}

// parse reads a bug: lines "word: text", then patches, each as
//
//	-- file
//	<<<<
//	old
//	====
//	new
//	>>>>
func parse(text string) (Bug, error) {
	var b Bug
	head, rest, ok := strings.Cut(text, "\n-- ")
	if !ok {
		return b, fmt.Errorf("no patch")
	}
	for line := range strings.Lines(head) {
		word, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch word {
		case "bug":
			b.Name = value
		case "backend":
			b.Backend = value
		case "primitive":
			b.Primitive = value
		case "caught by":
			for f := range strings.FieldsSeq(value) {
				n, err := strconv.Atoi(f)
				if err != nil || n < 1 || n >= len(check.Invariants) {
					return b, fmt.Errorf("no invariant %q", f)
				}
				b.Expected = append(b.Expected, n)
			}
		default:
			return b, fmt.Errorf("unknown word %q", word)
		}
	}
	for part := range strings.SplitSeq(rest, "\n-- ") {
		file, body, _ := strings.Cut(part, "\n")
		body, ok1 := strings.CutPrefix(body, "<<<<\n")
		old, body, ok2 := strings.Cut(body, "====\n")
		repl, _, ok3 := strings.Cut(body, ">>>>")
		if !ok1 || !ok2 || !ok3 || old == "" {
			return b, fmt.Errorf("malformed patch of %s", file)
		}
		// The end of the last line is not part of it: it may go on in the file.
		b.Patches = append(b.Patches, Patch{strings.TrimSpace(file), strings.TrimSuffix(old, "\n"), strings.TrimSuffix(repl, "\n")})
	}
	if b.Name == "" || b.Backend == "" || b.Primitive == "" || len(b.Expected) == 0 {
		return b, fmt.Errorf("incomplete")
	}
	return b, nil
}

// Overlay writes the changed files into dir and returns a file for the option
// -overlay of go build. root is the directory of dlock's module.
func (b *Bug) Overlay(root, dir string) (string, error) {
	changed := make(map[string]string) // file → contents
	for _, p := range b.Patches {
		path := filepath.Join(root, filepath.FromSlash(p.File))
		text, ok := changed[path]
		if !ok {
			t, err := os.ReadFile(path)
			if err != nil {
				return "", fmt.Errorf("bug %q: %w", b.Name, err)
			}
			text = string(t)
		}
		if n := strings.Count(text, p.Old); n != 1 {
			return "", fmt.Errorf("bug %q does not fit the sources any more: this is in %s %d times, not once:\n%s", b.Name, p.File, n, p.Old)
		}
		changed[path] = strings.Replace(text, p.Old, p.New, 1)
	}
	replace := make(map[string]string)
	for path, text := range changed {
		to := filepath.Join(dir, fmt.Sprint(len(replace), "-", filepath.Base(path)))
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			return "", err
		}
		replace[path] = to
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, overlay, 0o644)
}
