package contestant

import "testing"

// Each store has one dlock, with which its peers are compared, and each contestant
// an ID of its own.
func TestOneDefaultForEachStore(t *testing.T) {
	ids, defaults, stores := make(map[string]bool), make(map[Store]int), make(map[Store]bool)
	for _, c := range All {
		if ids[c.ID] {
			t.Errorf("there are two %s", c.ID)
		}
		ids[c.ID], stores[c.Store] = true, true
		if c.Role == Ours {
			defaults[c.Store]++
		}
	}
	for s := range stores {
		if defaults[s] != 1 {
			t.Errorf("%s has %d of dlock by default", s, defaults[s])
		}
	}
}
