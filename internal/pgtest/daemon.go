package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// patience bounds every wait for a program of ours. It is no measure of speed.
const patience = time.Minute

// guardScript is the program that outlives us: it reads lists of processes, and
// when its input ends, which it does with our process, it ends those that it
// read last and removes the directory. Stopped ones have to go on to end.
const guardScript = `
while read -r line; do pids=$line; done
for pid in $pids; do kill -QUIT "$pid"; kill -CONT "$pid"; done
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	alive=
	for pid in $pids; do kill -0 "$pid" && alive=1; done
	test "$alive" || break
	sleep 0.1
done
for pid in $pids; do kill -KILL "$pid"; done
rm -rf "$1"
`

// A home is the directory of a server, with the guard that removes it and ends
// the server when we no longer can.
type home struct {
	dir   string
	guard *exec.Cmd
	list  io.WriteCloser // to the guard; its end is ours

	closed bool // owned by whoever closes it
}

func newHome() (*home, error) {
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	h := &home{dir: dir, guard: exec.Command("sh", "-c", guardScript, "sh", dir)}
	// It has to remove what another user has made, so it stays who we are.
	detach(h.guard)
	h.guard.Dir = "/"
	if h.list, err = h.guard.StdinPipe(); err == nil {
		err = h.guard.Start()
	}
	if err == nil {
		err = give(dir)
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	return h, nil
}

// keep tells the guard which processes it has to end.
func (h *home) keep(pids ...int) error {
	_, err := fmt.Fprintln(h.list, strings.Trim(fmt.Sprint(pids), "[]"))
	return err
}

// close ends what runs there and removes the directory. It does so once.
func (h *home) close() error {
	if h.closed {
		return nil
	}
	h.closed = true
	err := errors.Join(h.list.Close(), h.guard.Wait())
	if _, there := os.Stat(h.dir); there == nil {
		err = errors.Join(err, fmt.Errorf("pgtest: %s cannot be removed", h.dir))
	}
	return err
}

// path returns the path of a file in the directory.
func (h *home) path(name string) string { return filepath.Join(h.dir, name) }

// write makes a file that the server can read, and nobody else.
func (h *home) write(name, text string) error {
	path := h.path(name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	return give(path)
}

// command makes a program of the server ready to run, as its user, with an
// environment that says nothing about other servers.
func (h *home) command(path string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(path, args...)
	cmd.Dir = h.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.dir, "TMPDIR=" + h.dir, "LC_ALL=C", "TZ=UTC"}
	detach(cmd)
	return cmd, become(cmd)
}

// run runs a program of the server to its end and returns what it printed.
func (h *home) run(name string, args ...string) (string, error) { return h.feed("", name, args...) }

// feed is run for a program that reads something.
func (h *home) feed(input, name string, args ...string) (string, error) {
	path, err := program(name)
	if err != nil {
		return "", err
	}
	cmd, err := h.command(path, args...)
	if err != nil {
		return "", err
	}
	cmd.Stdin = strings.NewReader(input)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("pgtest: %s: %w", name, err)
	}
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	if err := cmd.Wait(); err != nil {
		return "", fmt.Errorf("pgtest: %s: %w: %s", name, err, bytes.TrimSpace(complaint.Bytes()))
	}
	return strings.TrimSpace(out.String()), nil
}

// A daemon is a running server.
type daemon struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed by wait
}

// launch starts a server whose output goes to the end of a file.
func (h *home) launch(log, path string, args ...string) (*daemon, error) {
	out, err := os.OpenFile(h.path(log), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd, err := h.command(path, args...)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d := &daemon{cmd: cmd, ended: make(chan struct{})}
	if err := h.keep(d.pid()); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, err
	}
	go d.wait(h)
	return d, nil
}

func (d *daemon) wait(h *home) {
	defer close(d.ended)
	_ = d.cmd.Wait() // how it ends is in its log
	_ = h.keep()     // the number may be another process's soon; an error is the guard's end, and ours
}

func (d *daemon) pid() int { return d.cmd.Process.Pid }

// gone reports whether the server has ended by itself.
func (d *daemon) gone() bool {
	select {
	case <-d.ended:
		return true
	default:
		return false
	}
}

// awaitEnd waits for the server to end.
func (d *daemon) awaitEnd() error {
	select {
	case <-d.ended:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("pgtest: a server has not ended in %v", patience)
	}
}

// tail returns the end of a file, for people.
func (h *home) tail(name string) string {
	text, err := os.ReadFile(h.path(name))
	if err != nil {
		return err.Error()
	}
	const enough = 8 << 10
	return string(text[max(0, len(text)-enough):])
}

// wait asks again and again until a condition is met.
func wait(what string, met func() (bool, error)) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		ok, err := met()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("pgtest: %s took more than %v", what, patience)
		}
	}
}
