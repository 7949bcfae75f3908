package dlock_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The page about the design names files, and functions and types in them, that exist.
func TestDesignNamesWhatExists(t *testing.T) {
	const page = "docs/design.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	links := regexp.MustCompile("\\[(`?)([^]`]+)`?\\]\\(([^)]+)\\)").FindAllStringSubmatch(string(text), -1)
	if len(links) < 20 {
		t.Errorf("%s has %d links", page, len(links))
	}
	for _, link := range links {
		isName, name, path := link[1] != "", link[2], filepath.Join(filepath.Dir(page), link[3])
		source, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if !isName {
			continue
		}
		pattern := `(?m)^(func|type) ` + regexp.QuoteMeta(name) + `\b`
		if receiver, method, ok := strings.Cut(name, "."); ok {
			pattern = `(?m)^func \(\w+ \*?` + regexp.QuoteMeta(receiver) + `\) ` + regexp.QuoteMeta(method) + `\(`
		}
		if !regexp.MustCompile(pattern).Match(source) {
			t.Errorf("%s has no %s", path, name)
		}
	}
}
