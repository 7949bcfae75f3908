//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const show = `echo "$DLOCK_NAME $DLOCK_TOKEN"`
	var last uint64
	for range 3 {
		p := s.sh(show)
		line, err := p.stdout.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		var name string
		var token uint64
		if _, err := fmt.Sscan(line, &name, &token); err != nil || name != "demo" || token <= last {
			t.Errorf("the command sees %q after token %d (%v)", line, last, err)
		}
		last = token
		p.exits(0, "")
	}
	// A name that only other programs could misunderstand.
	p := start(t, "run", "--url", s.url(), "a b\nc$(d)", "--", "sh", "-c", `printf %s "$DLOCK_NAME"`)
	p.exits(0, "a b\nc$(d)")
	// The innermost lock counts.
	p = start(t, "run", "--url", s.url(), "outer", "--", binary, "run", "--url", s.url(), "inner", "--", "sh", "-c", "echo $DLOCK_NAME")
	p.exits(0, "inner\n")
}

// Dlock exports no spans that could stand between its caller's and the command's.
func TestTraceparent(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const show = `echo "${TRACEPARENT-unset} ${TRACESTATE-unset}"`
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, c := range []struct {
		env  []string
		want string
	}{
		{nil, "unset unset\n"},
		{[]string{"TRACEPARENT=" + parent, "TRACESTATE=a=1"}, parent + " a=1\n"},
	} {
		cmd := exec.Command(binary, "run", "--url", s.url(), "demo", "--", "sh", "-c", show)
		for _, v := range os.Environ() {
			if !strings.HasPrefix(v, "TRACE") {
				cmd.Env = append(cmd.Env, v)
			}
		}
		cmd.Env = append(cmd.Env, c.env...)
		launch(t, cmd).exits(0, c.want)
	}
}
