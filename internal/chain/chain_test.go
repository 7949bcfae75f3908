package chain

import (
	"math/rand/v2"
	"slices"
	"testing"
)

type item struct {
	Link[item]
	n int
}

// A list is what a slice is to which the same is done.
func TestLikeASlice(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 0))
	var lists [2]List[item]
	var want [2][]*item
	for i := range 10_000 {
		which := random.IntN(2)
		l, s := &lists[which], &want[which]
		switch {
		case len(*s) < 4 || random.IntN(2) == 0 && len(*s) < 20:
			x := &item{n: i}
			if random.IntN(2) == 0 {
				l.Push(x, &x.Link)
				*s = append(*s, x)
			} else {
				l.Unshift(x, &x.Link)
				*s = slices.Insert(*s, 0, x)
			}
		default:
			k := random.IntN(len(*s))
			x := (*s)[k]
			if x.List() != l {
				t.Fatal("it is not in its list")
			}
			x.Remove()
			x.Remove()
			*s = slices.Delete(*s, k, k+1)
			if x.List() != nil || x.Next() != nil {
				t.Fatal("what was removed is still linked")
			}
		}
		got := slices.Collect(l.All())
		if !slices.Equal(got, *s) || l.Len() != len(*s) {
			t.Fatalf("step %d: %v, want %v", i, got, *s)
		}
		if len(got) > 0 && (l.First() != got[0] || l.Last() != got[len(got)-1]) {
			t.Fatalf("step %d: the ends are others", i)
		}
		k := 0
		for x := l.First(); x != nil; x = x.Next() {
			if x != got[k] {
				t.Fatalf("step %d: element %d is another", i, k)
			}
			k++
		}
	}
}

// What was returned by All may be removed at once.
func TestRemoveWhileRanging(t *testing.T) {
	var l List[item]
	for i := range 5 {
		x := &item{n: i}
		l.Push(x, &x.Link)
	}
	n := 0
	for x := range l.All() {
		x.Remove()
		n++
	}
	if n != 5 || l.Len() != 0 || l.First() != nil || l.Last() != nil {
		t.Errorf("%d were there, %d are left", n, l.Len())
	}
}
