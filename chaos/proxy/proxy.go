// Package proxy stands between a worker and a server, and makes the way between
// them bad. It is a thin layer over toxiproxy.
package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	_ "github.com/Shopify/toxiproxy/v2/toxics" // registers them
	"github.com/rs/zerolog"
)

// A Proxy is one way to one server. It keeps its address for as long as it lives.
type Proxy struct{ *toxiproxy.Proxy }

// New starts a proxy to the server at upstream.
func New(upstream string) (*Proxy, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(server, "proxy", "127.0.0.1:0", upstream)
	return &Proxy{p}, p.Start()
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.Listen }

// Cut ends all connections, and lets new ones through.
func (p *Proxy) Cut() error {
	p.Stop()
	return p.Start()
}

// Close ends all connections and the proxy.
func (p *Proxy) Close() { p.Stop() }

// Retarget ends all connections, and leads new ones to another server.
func (p *Proxy) Retarget(upstream string) error {
	p.Stop()
	p.Upstream = upstream
	return p.Start()
}

// A Toxic is what makes the way bad.
type Toxic struct {
	kind   string
	stream string // upstream, downstream or "" for both
	attrs  map[string]any
}

// BlackHole swallows everything and ends no connection.
func BlackHole() Toxic { return Toxic{"timeout", "", map[string]any{"timeout": 0}} }

// Swallow lets requests through and swallows the answers: the server has done
// what was asked, and nobody knows.
func Swallow() Toxic { return Toxic{"timeout", "downstream", map[string]any{"timeout": 0}} }

// Reset answers the next bytes with RST.
func Reset() Toxic { return Toxic{"reset_peer", "", map[string]any{"timeout": 0}} }

// Latency delays everything.
func Latency(d, jitter time.Duration) Toxic {
	return Toxic{"latency", "", map[string]any{"latency": d.Milliseconds(), "jitter": jitter.Milliseconds()}}
}

// Slice cuts answers into pieces of a few bytes.
func Slice() Toxic {
	return Toxic{"slicer", "downstream", map[string]any{"average_size": 16, "size_variation": 12, "delay": 200}}
}

// LimitData ends a connection in the middle of an answer.
func LimitData(bytes int) Toxic {
	return Toxic{"limit_data", "downstream", map[string]any{"bytes": bytes}}
}

// Spoil makes the way bad until the function that it returns is called.
func (p *Proxy) Spoil(t Toxic) (heal func() error, err error) {
	streams := []string{"upstream", "downstream"}
	if t.stream != "" {
		streams = []string{t.stream}
	}
	for _, s := range streams {
		text, err := json.Marshal(map[string]any{"name": s, "type": t.kind, "stream": s, "attributes": t.attrs})
		if err != nil {
			return nil, err
		}
		if _, err := p.Toxics.AddToxicJson(bytes.NewReader(text)); err != nil {
			return nil, fmt.Errorf("toxic %s: %w", t.kind, err)
		}
	}
	return func() error {
		// Whoever does not read his connection must not keep us from it.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		p.Toxics.ResetToxics(ctx)
		return nil
	}, nil
}
