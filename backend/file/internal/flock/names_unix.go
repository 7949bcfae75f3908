//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package flock

import "golang.org/x/sys/unix"

// Names returns the names in a directory. An os.File would make seven system
// calls more of it, and whoever waits for a lock waits for this.
func Names(dir string) ([]string, error) {
	h, err := openAny(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	var names []string
	for buf := make([]byte, 4096); ; {
		n, err := unix.ReadDirent(int(h), buf)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			return names, err
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// BeingRemoved reports whether err is that of a file which somebody has removed, and
// which still has its name: there are none.
func BeingRemoved(error) bool { return false }
