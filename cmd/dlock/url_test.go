package main

import (
	"os/user"
	"path/filepath"
	"testing"
)

func TestStateDir(t *testing.T) {
	for goos, want := range map[string]string{
		"linux":   "home/.local/state/dlock",
		"darwin":  "home/.local/state/dlock",
		"windows": "home/AppData/Local/dlock",
	} {
		if got := stateDir("home", goos); got != filepath.FromSlash(want) {
			t.Errorf("on %s: %s, want %s", goos, got, want)
		}
	}
}

// A job that cron starts must find the locks of a login.
func TestHomeIsThatOfTheUser(t *testing.T) {
	u, err := user.Current()
	if err != nil {
		t.Skip("the system does not know the user: ", err)
	}
	for _, variable := range []string{"HOME", "USERPROFILE", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "TMPDIR"} {
		t.Setenv(variable, t.TempDir())
	}
	if got, err := home(); err != nil || got != u.HomeDir {
		t.Errorf("home is %q (%v), want %q", got, err, u.HomeDir)
	}
}
