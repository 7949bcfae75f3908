package file

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"github.com/dlock-go/dlock/backend"
)

// A queue that is removed while somebody looks into it gives ACCESS_DENIED until that
// one has closed it. Who comes meanwhile looks again.
func TestQueueInRemoval(t *testing.T) {
	dir := t.TempDir()
	s, other := openSession(t, dir), openSession(t, dir)
	other.want(t, acquire(1, "x"), backend.Granted)
	queue := s.lockOf(backend.Mutex, "x").queue.dir
	if err := makeDir(queue); err != nil {
		t.Fatal(err)
	}
	name, err := windows.UTF16PtrFromString(queue)
	if err != nil {
		t.Fatal(err)
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	h, err := windows.CreateFile(name, windows.GENERIC_READ, share, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(queue); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	time.AfterFunc(20*time.Millisecond, func() {
		windows.CloseHandle(h)
		close(closed)
	})
	s.want(t, waiting(1, "x"), backend.Queued)
	<-closed // What is open cannot be cleaned up.
}
