//go:build !linux

package file

import "github.com/dlock-go/dlock/backend"

// strangers knows of nobody: these systems do not tell who has locked a file.
func strangers(string, []identity) []backend.Standing { return nil }

// lockedUnread cannot tell. Who may not be read is passed over: that costs the place in
// a queue, and not exclusion.
func lockedUnread(string) bool { return false }
