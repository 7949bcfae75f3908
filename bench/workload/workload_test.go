package workload

import (
	"testing"

	"github.com/dlock-go/dlock/bench/contestant"
)

func TestContestantsNameWorkloads(t *testing.T) {
	for _, c := range contestant.All {
		for _, name := range c.Only {
			if _, err := Find(name); err != nil {
				t.Errorf("%s: %v", c.ID, err)
			}
		}
	}
}

// Each peer but sync.Mutex itself has a mutex before it where the goroutines of a
// process want one name, and each dlock is measured by Acquire too.
func TestVariantsTakePart(t *testing.T) {
	for _, c := range contestant.All {
		suffix := ""
		switch {
		case c.Role == contestant.Ours:
			suffix = "-acquire"
		case c.Role == contestant.Peer && len(c.Only) == 0 && c.Store != contestant.Memory:
			suffix = "-fronted"
		default:
			continue
		}
		variant, err := contestant.Find(c.ID + suffix)
		if err != nil {
			t.Error(err)
		} else if !hot.Takes(variant) || handOff.Takes(variant) {
			t.Errorf("%s does not take part in what it is for", variant.ID)
		}
	}
}
