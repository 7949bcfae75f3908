//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package flock

// rename gives what is at a path another one, unless that is taken.
func rename(from, to string) error { return renameByLink(from, to) }
