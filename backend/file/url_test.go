package file_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
)

func TestURL(t *testing.T) {
	relative, err := filepath.Abs("relative/dir")
	if err != nil {
		t.Fatal(err)
	}
	root, rest := drive(t), strings.TrimPrefix(filepath.ToSlash(relative), filepath.VolumeName(relative))
	for url, want := range map[string]string{
		"file:///var/lock/app":          root + "/var/lock/app",
		"file:/var/lock/app":            root + "/var/lock/app",
		"FILE:///var/lock/app/":         root + "/var/lock/app",
		"file://localhost/var/lock/app": root + "/var/lock/app",
		"file:///a%20b/%C3%A9/%25":      root + "/a%20b/%C3%A9/%25",
		"file:///a%3Fb%23":              root + "/a%3Fb%23",
		"file:relative/dir":             root + rest,
		"file:./relative//dir":          root + rest,
		"file:relative%2Fdir":           root + rest,
	} {
		b, err := backend.FromURL(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
		} else if b.String() != want {
			t.Errorf("%s: %s, want %s", url, b, want)
		}
	}
	for _, url := range []string{
		"file:", "file://", "file://host/dir", "file:///dir?x=1", "file:///dir#x", "file:///dir?",
		"file:///%zz", "file:%zz", "file://me:secret@localhost/dir", "file://me:secret@%zz/dir", "file:///a\x00b%00\x7f",
	} {
		if _, err := backend.FromURL(url); err == nil {
			t.Errorf("%q: no error", url)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error repeats a password: %v", err)
		}
	}
}

// drive returns how URLs of files on the current drive begin.
func drive(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if volume := filepath.VolumeName(dir); volume != "" {
		return "file:///" + volume
	}
	return "file://"
}

func TestString(t *testing.T) {
	if got := file.New("/a b?").String(); got != drive(t)+"/a%20b%3F" {
		t.Error(got)
	}
	b, err := backend.FromURL(file.New("/a b?%#/é").String())
	if err != nil || b.String() != file.New("/a b?%#/é").String() {
		t.Errorf("%v, %v", b, err)
	}
	if got := file.New("").String(); got != "file:" {
		t.Error(got)
	}
}
