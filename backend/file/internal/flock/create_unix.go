//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package flock

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// What sessions make in a directory belongs to all who share that: it takes the
// directory's group, and gives the group and all others what the directory gives them,
// whatever the umask. What root makes belongs to the owner of the directory, who would
// otherwise be locked out.
//
// Who may not write to the directory may read the boards, and lock the files that are
// locked by flock(1). He gets no right to tickets and to the clock: to lock a file, the
// right to read it is enough.

// straight is set while the umask is known to leave new files the rights that they are
// to have. While it is not, they get their name after their rights: between the two
// another user would be refused, and for ever if the process died there.
var straight atomic.Bool

// Create makes a file, unless it is there.
func Create(path string, readers bool) (Handle, error) {
	if straight.Load() {
		h, err := openAny(path, New, 0o666)
		if err != nil {
			return None, err
		}
		straight.Store(h.Share(filepath.Dir(path), readers))
		return h, nil
	}
	temporary := aside(path)
	h, err := openAny(temporary, New, 0o666)
	if err != nil {
		return None, err
	}
	straight.Store(h.Share(filepath.Dir(path), readers))
	if err := rename(temporary, path); err != nil {
		_ = os.Remove(temporary)
		h.Close()
		return None, err
	}
	return h, nil
}

// MakeDir makes a directory, unless it is there.
func MakeDir(path string) error {
	// The first file tells about the umask, and there are few directories before it.
	if straight.Load() {
		if err := os.Mkdir(path, 0o777); err != nil {
			return err
		}
		straight.Store(shareDirectory(path))
		return nil
	}
	temporary := aside(path)
	if err := os.Mkdir(temporary, 0o777); err != nil {
		return err
	}
	shareDirectory(temporary)
	err := rename(temporary, path)
	if err != nil {
		_ = os.Remove(temporary)
	}
	return err
}

// aside returns a path for what is not yet ready. The janitors know it.
func aside(path string) string {
	return filepath.Join(filepath.Dir(path), AsidePrefix+strconv.FormatUint(rand.Uint64(), 16))
}

// Share gives a new file the rights that it is to have as one of dir; with readers
// also to those who may only read. It reports whether it had them from the beginning.
func (h Handle) Share(dir string, readers bool) bool {
	var d, f unix.Stat_t
	if h.stat(&f) != nil || statDirectory(dir, &d) != nil {
		return false
	}
	had := true
	if uid, gid, ok := owners(&d, &f); ok {
		had = false
		_ = unix.Fchown(int(h), uid, gid)
	}
	want := uint32(0o600)
	for _, shift := range []uint32{0, 3} {
		switch of := uint32(d.Mode) >> shift; {
		case of&2 != 0:
			want |= 6 << shift
		case of&4 != 0 && readers:
			want |= 4 << shift
		}
	}
	if rights := uint32(f.Mode) & 0o777; rights != want {
		// Too many are no reason to make the next files with more care.
		had = had && rights&want == want
		_ = unix.Fchmod(int(h), want)
	}
	return had
}

// shareDirectory does the same for a new directory in another one.
func shareDirectory(path string) bool {
	var d, f unix.Stat_t
	if statDirectory(path, &f) != nil || statDirectory(filepath.Dir(path), &d) != nil {
		return false
	}
	had := true
	if uid, gid, ok := owners(&d, &f); ok {
		had = false
		_ = os.Lchown(path, uid, gid)
	}
	const bits = unix.S_ISGID | unix.S_ISVTX | 0o077
	if want := 0o700 | uint32(d.Mode)&bits; uint32(f.Mode)&(bits|0o700) != want {
		had = false
		_ = unix.Chmod(path, want)
	}
	return had
}

func statDirectory(path string, st *unix.Stat_t) error {
	for {
		if err := unix.Stat(path, st); err != unix.EINTR {
			return err
		}
	}
}

// owners returns who a new file f of the directory d is to belong to, if not to those
// it does.
func owners(d, f *unix.Stat_t) (uid, gid int, ok bool) {
	uid, gid = -1, -1
	if f.Uid == 0 && d.Uid != 0 {
		uid, ok = int(d.Uid), true
	}
	if f.Gid != d.Gid {
		gid, ok = int(d.Gid), true
	}
	return uid, gid, ok
}
