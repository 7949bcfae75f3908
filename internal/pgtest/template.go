package pgtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// A template is a database cluster in memory. Writing it to a directory takes a
// tenth of what initdb does.
type template struct {
	paths   []string // directories before what is in them
	content [][]byte // nil for a directory
}

// cluster is what initdb makes, once in a process.
var cluster = sync.OnceValues(func() (*template, error) {
	h, err := newHome()
	if err != nil {
		return nil, err
	}
	t, err := h.initdb()
	if closed := h.close(); err == nil {
		err = closed
	}
	return t, err
})

const dropTemplates = `UPDATE pg_database SET datistemplate = false
DROP DATABASE template0
DROP DATABASE template1
`

func (h *home) initdb() (*template, error) {
	if err := h.write("password", Password); err != nil {
		return nil, err
	}
	data := h.path("data")
	// Nothing of it is to survive a power failure.
	if _, err := h.run("initdb", "--no-sync", "--pgdata="+data, "--username="+User, "--pwfile="+h.path("password"),
		"--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--no-locale"); err != nil {
		return nil, err
	}
	// Nobody makes a database from a template, and their files are two of three.
	if _, err := h.feed(dropTemplates, "postgres", "--single", "-F", "-D", data, Database); err != nil {
		return nil, err
	}
	t := new(template)
	return t, filepath.WalkDir(data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(data, path)
		if err != nil {
			return err
		}
		t.paths = append(t.paths, name)
		var content []byte
		if !entry.IsDir() {
			if content, err = os.ReadFile(path); content == nil {
				content = []byte{}
			}
		}
		t.content = append(t.content, content)
		return err
	})
}

// write writes the cluster to a directory that does not exist.
func (t *template) write(dir string) error {
	for i, name := range t.paths {
		path := filepath.Join(dir, name)
		var err error
		if t.content[i] == nil {
			err = os.Mkdir(path, 0o700)
		} else {
			err = os.WriteFile(path, t.content[i], 0o600)
		}
		if err != nil {
			return err
		}
	}
	return give(dir)
}
