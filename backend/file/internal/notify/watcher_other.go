//go:build netbsd || openbsd || windows

package notify

// Supported reports whether whoever waits can rely on being told. Windows tells of changes in a directory, not of those to one file. To watch a
// queue would keep others from removing it, and to watch all queues at once would
// wake every session at every ring: it polls.
const Supported = false

// New returns a poller.
func New(bool) Watcher { return newPoller() }
