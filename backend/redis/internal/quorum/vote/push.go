package vote

import (
	"fmt"
	"time"

	"github.com/dlock-go/dlock/backend/redis/internal/redislock"
)

// Hears notes whether a node's messages come, or why they do not; denied tells that it
// forbids them.
func (m *Machine) Hears(node int, why error, denied bool, now time.Time) {
	n, was := m.nodes[node], m.deaf()
	if n.deaf = why != nil; !n.deaf {
		return
	}
	if n.state == nodeUp || denied { // Else it is more than the messages.
		m.Notice(node, fmt.Errorf("the server's messages do not reach the session, so who waits polls where no other server's do: %w", why))
	}
	if was || !m.deaf() {
		return
	}
	for a := range m.rota.All() {
		if a.state == waiting && a.op.Wait && a.due.IsZero() {
			m.pollSoon(a, now)
		}
	}
}

// deaf reports whether no node's messages come. One that hears of a release asks all.
func (m *Machine) deaf() bool {
	up := false
	for _, n := range m.nodes {
		if n.state == nodeUp {
			if !n.deaf {
				return false
			}
			up = true
		}
	}
	return up
}

// pollSoon has an acquisition that waits ask again soon, the later the more there are.
func (m *Machine) pollSoon(a *acquisition, now time.Time) {
	m.alarms.set(a, now.Add(min(redislock.PollWithout*time.Duration(1+len(m.alarms.queue)/redislock.PollSome), PollEvery)))
}
