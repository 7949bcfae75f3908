package store

import (
	"context"
	"fmt"
	"time"

	"github.com/dlock-go/dlock/chaos/fault"
	"github.com/dlock-go/dlock/chaos/proxy"
)

// A network is the ways of each worker to each server.
type network struct {
	ways [][]*proxy.Proxy // by slot, then by server
}

func newNetwork(slots int, servers []string) (*network, error) {
	n := &network{ways: make([][]*proxy.Proxy, slots)}
	for slot := range n.ways {
		for _, s := range servers {
			p, err := proxy.New(s)
			if err != nil {
				n.close()
				return nil, err
			}
			n.ways[slot] = append(n.ways[slot], p)
		}
	}
	return n, nil
}

func (n *network) close() {
	for _, ways := range n.ways {
		for _, p := range ways {
			p.Close()
		}
	}
}

// addrs are where a worker finds the servers.
func (n *network) addrs(slot int) []string {
	var addrs []string
	for _, p := range n.ways[slot] {
		addrs = append(addrs, p.Addr())
	}
	return addrs
}

// retarget leads all workers to another server.
func (n *network) retarget(server int, addr string) error {
	for _, ways := range n.ways {
		if err := ways[server].Retarget(addr); err != nil {
			return err
		}
	}
	return nil
}

// some chooses the ways of one worker: to all servers, or, if there are several,
// perhaps to one of them only.
func (n *network) some(x *fault.Injection) []*proxy.Proxy {
	ways := n.ways[x.Slot()]
	if len(ways) > 1 && x.Rand.IntN(2) == 0 {
		i := x.Rand.IntN(len(ways))
		x.Note("to server %d alone", i)
		return ways[i : i+1]
	}
	return ways
}

// faults are what can happen to a network of any store. broken is for how long one
// whose connection was cut may not know what the server knows; silent the same for
// one whose connection says nothing. Nothing cures that silence: it ends with the
// connection. free is for how long after a fault a lock may not be had: the session
// that was cut off keeps it.
func (n *network) faults(broken, silent, free time.Duration) []fault.Kind {
	spoil := func(least, most float64, toxic func(*fault.Injection) proxy.Toxic) func(context.Context, *fault.Injection) error {
		return func(ctx context.Context, x *fault.Injection) error {
			ways, t := n.some(x), toxic(x)
			var heals []func() error
			for _, p := range ways {
				heal, err := p.Spoil(t)
				if err != nil {
					return err
				}
				heals = append(heals, heal)
			}
			x.Wait(ctx, x.Stretch(least, most))
			for _, heal := range heals {
				if err := heal(); err != nil {
					return err
				}
			}
			return nil
		}
	}
	always := func(t proxy.Toxic) func(*fault.Injection) proxy.Toxic {
		return func(*fault.Injection) proxy.Toxic { return t }
	}
	kind := func(name string, overlap time.Duration, inject func(context.Context, *fault.Injection) error) fault.Kind {
		return fault.Kind{Name: name, Target: fault.Network, Overlap: overlap, Recovery: free, Inject: inject}
	}
	return []fault.Kind{
		kind("cut connections", broken, func(_ context.Context, x *fault.Injection) error {
			for _, p := range n.some(x) {
				if err := p.Cut(); err != nil {
					return fmt.Errorf("cut: %w", err)
				}
			}
			return nil
		}),
		kind("black hole", silent, spoil(0.2, 2, always(proxy.BlackHole()))),
		kind("swallow answers", silent, spoil(0.2, 1.5, always(proxy.Swallow()))),
		kind("reset connections", broken, spoil(0.1, 0.5, always(proxy.Reset()))),
		kind("latency", 0, spoil(0.5, 1.5, func(x *fault.Injection) proxy.Toxic {
			d := x.Stretch(0.02, 0.15)
			x.Note("of %v", d.Round(time.Millisecond))
			return proxy.Latency(d, d/2)
		})),
		kind("slice answers", 0, spoil(0.3, 1, always(proxy.Slice()))),
		kind("cut answers short", broken, spoil(0.2, 1, func(x *fault.Injection) proxy.Toxic { return proxy.LimitData(200 + x.Rand.IntN(20000)) })),
	}
}
