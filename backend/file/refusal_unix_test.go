//go:build unix

package file

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/dlock-go/dlock/backend"
)

// An error of the system says whether to try again, or is told to the caller at once.
func TestErrnos(t *testing.T) {
	s := openSession(t, t.TempDir())
	path := filepath.Join(s.dir, "x")
	for want, errnos := range map[error][]syscall.Errno{
		nil: {
			syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO,
			syscall.ESTALE, syscall.EINTR, syscall.ENOLCK, syscall.EAGAIN, syscall.ETIMEDOUT, syscall.ENOENT,
		},
		backend.ErrDenied: {
			syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP,
			syscall.ENAMETOOLONG,
		},
		backend.ErrUnsupported: {syscall.ENOSYS, syscall.ENOTSUP, syscall.EOPNOTSUPP},
	} {
		for _, errno := range errnos {
			r := refusal(&fs.PathError{Op: "lock", Path: path, Err: errno})
			state := backend.Failed
			if want == nil {
				state = backend.Refused
			}
			if r.State != state || !errors.Is(r.Err, errno) || want != nil && !errors.Is(r.Err, want) {
				t.Errorf("%v: state %d (%v), want %d (%v)", errno, r.State, r.Err, state, want)
			}
			if want == nil && (errors.Is(r.Err, backend.ErrDenied) || errors.Is(r.Err, backend.ErrUnsupported)) {
				t.Errorf("%v does not pass: %v", errno, r.Err)
			}
		}
	}
	for _, lasting := range []error{limitError(1, 2), errors.ErrUnsupported} {
		if r := refusal(lasting); r.State != backend.Failed || !errors.Is(r.Err, lasting) {
			t.Errorf("%v: %+v", lasting, r)
		}
	}
}
