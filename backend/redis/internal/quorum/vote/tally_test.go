package vote

import "testing"

// TestVerdicts is what tallies of three and five nodes mean.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		what string
		t    tally
		want verdict
	}{
		{"two of three", tally{nodes: 3, given: 2, pending: 1}, won},
		{"two of five", tally{nodes: 5, given: 2, pending: 1, busy: 2}, pending},
		{"a majority wins, whatever the others say", tally{nodes: 5, given: 3, limit: 1, failed: 1}, won},
		{"two may still vote", tally{nodes: 3, pending: 2, busy: 1}, pending},
		{"another limit at one of three", tally{nodes: 3, given: 1, limit: 1, pending: 1}, pending},
		{"another limit at two of three", tally{nodes: 3, given: 1, limit: 2}, otherLimit},
		{"denied at two of three", tally{nodes: 3, pending: 1, failed: 2, denied: 2}, denied},
		{"denied at one, silent at one", tally{nodes: 3, given: 1, failed: 1, denied: 1, silent: 1}, failing},
		{"the last answer may not save it, but tells", tally{nodes: 3, pending: 1, failed: 1, silent: 1}, pending},
		{"one was not asked", tally{nodes: 3, given: 1, busy: 1, unasked: 1}, unasked},
		{"another token would do", tally{nodes: 3, given: 1, unfit: 1, busy: 1}, unfit},
		{"no token would do", tally{nodes: 3, unfit: 1, busy: 2}, beaten},
		{"two are down", tally{nodes: 3, given: 1, silent: 2}, unheard},
		{"all are down", tally{nodes: 3, silent: 3}, unheard},
		{"two are down and one is taken", tally{nodes: 3, silent: 2, busy: 1}, unheard},
		{"one is down and one is taken", tally{nodes: 3, given: 1, silent: 1, busy: 1}, beaten},
		{"one is taken and one to come", tally{nodes: 3, pending: 1, silent: 1, busy: 1}, pending},
		{"two are taken and one to come", tally{nodes: 3, pending: 1, busy: 2}, beaten},
		{"two may not vote yet", tally{nodes: 3, given: 1, withheld: 2}, beaten},
	} {
		if got := c.t.verdict(); got != c.want {
			t.Errorf("%s: verdict %d, want %d", c.what, got, c.want)
		}
	}
}
