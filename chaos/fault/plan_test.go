package fault

import (
	"context"
	"testing"
	"time"
)

// TestAlone: what can only be judged alone comes first, again and again, and nothing
// else bears on it.
func TestAlone(t *testing.T) {
	t.Parallel()
	kind := func(name string, target Target, alone bool) Kind {
		return Kind{
			Name: name, Target: target, Alone: alone, Recovery: 200 * time.Millisecond,
			Inject: func(ctx context.Context, x *Injection) error {
				x.Wait(ctx, 300*time.Millisecond)
				return nil
			},
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*drill)
	defer cancel()
	p := Plan{Seed: 1, Kinds: []Kind{kind("mixed", Server, false), kind("alone", Worker, true), kind("other", Network, false)}}
	events, err := p.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, a := range events {
		if a.Kind != "alone" {
			continue
		}
		n++
		for _, b := range events {
			if a != b && b.Touches(a.Begin, a.Over()) {
				t.Errorf("%q touches the one that has to be alone", b.Kind)
			}
		}
		if times := 2; i < times != (n <= times) {
			t.Errorf("number %d came as event %d", n, i)
		}
	}
	if n < 3 || n == len(events) {
		t.Errorf("%d of %d events had to be alone", n, len(events))
	}
}
