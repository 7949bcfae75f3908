//go:build netbsd || openbsd || windows

package file

// Windows tells of changes in a directory, not of those to one file. To watch a
// queue would keep others from removing it, and to watch all queues at once would
// wake every session at every ring: it polls.
const canNotify = false

func newWatcher(bool) watcher { return newPoller() }
