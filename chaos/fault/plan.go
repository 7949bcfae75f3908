package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/dlock-go/dlock/chaos/journal"
)

// A Plan injects faults into a run: first those that can only be judged alone, then
// each kind on its own, then several at a time, as its seed has it. What has to be
// alone stays so: nothing is on with it, or was until a moment ago.
type Plan struct {
	Kinds   []Kind
	Seed    uint64
	TTL     time.Duration
	Slots   int
	Names   int
	Workers Workers

	mu     sync.Mutex
	events []*Event
	busy   map[Target]bool
	failed error
}

// pause is how long a run is left alone, on average, between two faults.
const pause = 1200 * time.Millisecond

// drill is how long a run has to be for each of the times that what has to be alone
// comes at first, and drills how many times that is at most.
const (
	drill  = 6 * time.Second
	drills = 3
)

// Run injects faults until ctx ends, and returns when all are undone.
func (p *Plan) Run(ctx context.Context) ([]*Event, error) {
	if len(p.Kinds) == 0 {
		<-ctx.Done()
		return nil, nil
	}
	r := rand.New(rand.NewPCG(p.Seed, 0xfa017))
	p.busy = make(map[Target]bool)
	var injecting sync.WaitGroup
	alone := false // the last one
	order := p.drilled(ctx)
	for round := 0; ctx.Err() == nil; round++ {
		for _, i := range append(order, r.Perm(len(p.Kinds))...) {
			k := &p.Kinds[i]
			gap := pause/2 + time.Duration(r.Int64N(int64(pause)))
			own := rand.New(rand.NewPCG(r.Uint64(), 0))
			if round > 0 && r.IntN(3) > 0 {
				gap /= 4 // Likely to come while another one is on.
			}
			if k.Alone || alone {
				injecting.Wait()
				gap += p.aftermath()
			}
			alone = k.Alone
			select {
			case <-time.After(gap):
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				break
			}
			if !p.claim(k.Target) {
				continue
			}
			injecting.Add(1)
			go p.inject(ctx, k, own, &injecting)
			if round == 0 {
				injecting.Wait()
			}
		}
		order = nil
	}
	injecting.Wait()
	return p.events, p.failed
}

// drilled returns the kinds that have to be alone, each as often as there is time, and
// those that come early.
func (p *Plan) drilled(ctx context.Context) []int {
	times := drills
	if end, ok := ctx.Deadline(); ok {
		times = min(times, max(1, int(time.Until(end)/drill)))
	}
	var order []int
	for range times {
		for i := range p.Kinds {
			if p.Kinds[i].Alone {
				order = append(order, i)
			}
		}
	}
	for i := range p.Kinds {
		if p.Kinds[i].Early {
			order = append(order, i)
		}
	}
	return order
}

// aftermath is for how long what has been done may still be felt.
func (p *Plan) aftermath() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	over := journal.Now()
	for _, e := range p.events {
		over = max(over, e.Over())
	}
	return time.Duration(over - journal.Now())
}

func (p *Plan) claim(t Target) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy[t] {
		return false
	}
	p.busy[t] = true
	return true
}

func (p *Plan) inject(ctx context.Context, k *Kind, r *rand.Rand, injecting *sync.WaitGroup) {
	defer injecting.Done()
	e := begin(k)
	x := &Injection{
		Rand: r, TTL: p.TTL, Slots: p.Slots, Names: p.Names, Workers: p.Workers,
		event: e, mu: &p.mu,
	}
	err := k.Inject(ctx, x)
	p.mu.Lock()
	defer p.mu.Unlock()
	e.End = journal.Now()
	p.events = append(p.events, e)
	p.busy[k.Target] = false
	if err != nil && p.failed == nil {
		p.failed = fmt.Errorf("fault %q: %w", k.Name, err)
	}
}
