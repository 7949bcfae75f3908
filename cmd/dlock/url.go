package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/file"
	_ "github.com/dlock-go/dlock/backend/memory"
	_ "github.com/dlock-go/dlock/backend/postgres"
	_ "github.com/dlock-go/dlock/backend/redis"
)

// The environment variables that name the store, and the namespace of a lock.
const (
	urlVariable       = "DLOCK_URL"
	namespaceVariable = "DLOCK_NAMESPACE"
)

// fromURL returns the store that a URL names. What it refuses it does not repeat, but for
// a path: somebody may have put a password there.
func fromURL(rawURL string) (backend.Backend, error) {
	scheme, _, ok := strings.Cut(rawURL, ":")
	if !ok || len(scheme) == 1 && runtime.GOOS == "windows" || strings.ContainsAny(scheme, `/\`) {
		switch {
		case strings.HasPrefix(rawURL, "/"):
			return nil, fmt.Errorf("a path is no URL: for that directory write file://%s", rawURL)
		case strings.HasPrefix(rawURL, "."), strings.HasPrefix(rawURL, "~"), strings.ContainsAny(rawURL, `/\`) && !strings.Contains(rawURL, "@"):
			return nil, fmt.Errorf("a path is no URL: a directory is file:///DIR, or file:RELATIVE/DIR")
		}
	}
	store, err := backend.FromURL(rawURL)
	if err != nil {
		// Which drivers there are is not the user's business.
		return nil, errors.New(strings.TrimSuffix(err.Error(), " (is its driver imported?)"))
	}
	return store, nil
}

// defaultURL returns the store for a user who has named none.
//
// A job must find the same locks from cron, from a service manager and from a
// login. So the directory depends on the user alone and on nothing that differs
// between those: $XDG_RUNTIME_DIR is missing under cron and removed at the last
// logout, $XDG_CACHE_HOME, $TMPDIR and $HOME may be set here and not there, and
// /tmp can be private to a service. Two directories would be two locks, in
// silence; a home that cannot be written is an error that everybody sees. Nor is
// it a cache, which people delete while locks are held.
func defaultURL() (string, error) {
	dir, err := makeStateDir()
	if err != nil {
		return "", fmt.Errorf("no directory for locks: %w; name a store with --url or $%s", err, urlVariable)
	}
	return file.New(dir).String(), nil
}

func makeStateDir() (string, error) {
	home, err := home()
	if err != nil {
		return "", err
	}
	dir := stateDir(home, runtime.GOOS)
	// Before the driver makes it for everybody to read: the names of locks are
	// the user's own business.
	return dir, os.MkdirAll(dir, 0o700)
}

func stateDir(home, goos string) string {
	if goos == "windows" {
		return filepath.Join(home, "AppData", "Local", "dlock")
	}
	return filepath.Join(home, ".local", "state", "dlock")
}

// home returns the home directory that the system has for the user. Only where it
// knows of none, as in a container that runs under any number, the environment
// is asked.
func home() (string, error) {
	if u, err := user.Current(); err == nil && u.HomeDir != "" {
		return u.HomeDir, nil
	}
	return os.UserHomeDir()
}
