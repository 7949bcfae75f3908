package testbed

import (
	"net/url"
	"slices"
	"time"
)

// A Route is another way to the servers of a testbed, which can be cut.
type Route struct {
	Testbed *Testbed // as it is seen by this way
	proxies []*proxy
}

// Route returns a way to the servers that takes so much longer, there and back.
func (w *Testbed) Route(roundTrip time.Duration) (*Route, error) {
	seen := *w
	seen.QuorumAddrs = slices.Clone(w.QuorumAddrs)
	r := &Route{Testbed: &seen}
	u, err := url.Parse(w.PostgresURL)
	if err != nil {
		return nil, err
	}
	addrs := []*string{&seen.RedisAddr, &u.Host}
	for i := range seen.QuorumAddrs {
		addrs = append(addrs, &seen.QuorumAddrs[i])
	}
	for _, addr := range addrs {
		if *addr == "" {
			continue // There is no such server.
		}
		p, err := newProxy(*addr, roundTrip)
		if err != nil {
			r.Cut()
			return nil, err
		}
		r.proxies, *addr = append(r.proxies, p), p.addr()
	}
	seen.PostgresURL = u.String()
	return r, nil
}

// Cut ends all connections, and lets no more be made.
func (r *Route) Cut() {
	for _, p := range r.proxies {
		p.close()
	}
}

// Silence has nothing come through any more, as when a cable is pulled: neither side
// is told.
func (r *Route) Silence() {
	for _, p := range r.proxies {
		p.silence()
	}
}
