package leak

import (
	"strings"
	"testing"
	"time"
)

func TestWatch(t *testing.T) {
	stop := make(chan struct{})
	stray := func() { <-stop }
	var other func() []string
	left := Watch(func() {
		go func() { go stray() }() // The one in the middle has ended.
	})
	other = Watch(func() {})
	if stacks := Gone(other, 0); len(stacks) != 0 {
		t.Errorf("of somebody else: %q", stacks)
	}
	if stacks := Gone(left, 10*time.Millisecond); len(stacks) != 1 || !strings.Contains(stacks[0], "TestWatch") {
		t.Errorf("while it runs: %q", stacks)
	}
	close(stop)
	if stacks := Gone(left, 20*time.Second); len(stacks) != 0 {
		t.Errorf("when it has ended: %q", stacks)
	}
}
