package main

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

// front tells whether the process group of the shell that runs it has the
// terminal.
const front = `set -- $(cut -d")" -f2 /proc/$$/stat); test $3 = $6 && echo in front || echo behind`

func TestCommandHasTheTerminal(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	c := newConsole(t, binary, "run", "--url", s.url(), "demo", "--", "sh", "-c", front+`; read line; echo "got $line"`)
	c.expect("in front")
	c.press("hello\n")
	c.expect("got hello")
	c.exits(0)
}

// The terminal is left to the others in a pipeline until the command asks for it,
// and goes back to them afterwards.
func TestPipelineSharesTheTerminal(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	c := newConsole(t, "sh", "-c", `"$DLOCK" run --url `+s.url()+` demo -- sh -c '`+front+`; read line; echo "got $line"' | cat; read line; echo "sh got $line"`)
	c.expect("behind")
	c.press("hello\n")
	c.expect("got hello")
	c.press("again\n")
	c.expect("sh got again")
	c.exits(0)
}

// The interrupt that ends the command ends the script that dlock is a line of.
func TestInterruptEndsTheScript(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"sh", "bash"} {
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		s := newStore(t)
		c := newConsole(t, shell, "-c", `"$DLOCK" run --url `+s.url()+` demo -- sh -c 'echo re""ady; sleep 60'; echo not reached`)
		c.expect("ready")
		c.interrupt()
		if strings.Contains(c.text(), "not reached") {
			t.Errorf("%s goes on: %q", shell, c.text())
		}
	}
}

// A shell sees dlock and its command as one job.
func TestJobControl(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	s := newStore(t)
	c := newConsole(t, bash, "--norc", "--noediting", "-i")
	run := `"$DLOCK" run --url ` + s.url() + ` demo -- `
	c.expect("$ ")

	// Stopped and continued in the foreground.
	c.press(run + `sh -c 'echo re""ady; while read line; do echo "got $line"; done; exit 7'` + "\n")
	c.expect("ready")
	c.press(ctrlZ)
	c.expect("Stopped")
	c.expect("$ ")
	c.press("fg\n")
	c.expect("fg")
	c.press("hello\n")
	c.expect("got hello")
	c.press(ctrlZ)
	c.expect("Stopped")
	c.expect("$ ")

	// In the background it goes on, until it wants to read.
	c.press("bg\n")
	c.expect("&")
	for deadline := time.Now().Add(patience); !strings.Contains(c.text(), "Stopped"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not stop; the screen has %q", c.text())
		}
		c.press("jobs\n")
	}
	c.expect("Stopped")
	c.press("fg\n")
	c.expect("fg")
	c.press("again\n")
	c.expect("got again")
	c.press(ctrlD)
	c.expect("$ ")
	c.press("echo code $?\n")
	c.expect("code 7")

	// Begun in the background, and interrupted in the foreground.
	c.press(run + `sh -c 'trap "echo in""t; exit 5" INT; echo re""ady;` +
		` until set -- $(cut -d")" -f2 /proc/$PPID/stat); test $3 = $6; do sleep 0.01; done;` +
		` echo fo""re; while :; do sleep 0.01; done' &` + "\n")
	c.expect("ready")
	c.press("fg\n")
	c.expect("fore")
	c.press(ctrlC)
	c.expect("int")
	c.expect("$ ")
	c.press("echo code $?\n")
	c.expect("code 5")
	c.press("exit\n")
	c.exits(0)
}

func TestWaitOnATerminal(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	holder := s.holder("--reason", "nightly export")
	c := newConsole(t, binary, "run", "--url", s.url(), "demo", "--", "echo", "mine")
	quiet := newConsole(t, binary, "run", "-q", "--url", s.url(), "demo", "--", "echo", "quiet")
	// It is replaced as time goes by.
	for range 2 {
		c.expect(`dlock: waiting for "demo" for `)
		c.expect("s: held by ")
		c.expect(eraser)
	}
	holder.enter("")
	holder.exits(0, "done\n")
	c.exits(0)
	quiet.exits(0)
	<-c.done
	<-quiet.done
	if got := c.text(); !strings.HasSuffix(got, eraser+"mine\r\n") || strings.Contains(got, "\n\n") {
		t.Errorf("in the end the screen has %q", got)
	}
	if got := quiet.text(); got != "quiet\r\n" {
		t.Errorf("a quiet one says %q", got)
	}
}

// Who works on a terminal is not told what a job in the background waits for,
// before it comes to the foreground.
func TestWaitInTheBackgroundIsSilent(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	s := newStore(t)
	holder := s.holder()
	c := newConsole(t, bash, "--norc", "--noediting", "-i")
	c.expect("$ ")
	c.press(`"$DLOCK" run --url ` + s.url() + " demo -- echo mi''ne &\n")
	s.waiting(1)
	// Who waits behind it in the foreground is told.
	next := newConsole(t, binary, "run", "--url", s.url(), "demo", "--", "echo", "next")
	s.waiting(2)
	next.expect("dlock: waiting for ")
	if strings.Contains(c.text(), "waiting") {
		t.Errorf("the screen has %q", c.text())
	}
	c.press("fg\n")
	c.expect("dlock: waiting for ")
	holder.enter("")
	holder.exits(0, "done\n")
	c.expect("mine")
	next.exits(0)
	c.press("exit\n")
	c.exits(0)
}
