//go:build !linux

package file

const canNotify = false

func newWatcher(bool) watcher { return newPoller() }
