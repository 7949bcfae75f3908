package redisconn

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/dlock-go/dlock/backend"
)

// A Node is a Redis server, or a cluster of them, and how to connect to it.
type Node struct {
	// Immutable. For people, without secrets: scheme://addr and path, which has
	// the database and what else tells the node apart.
	Scheme, Addr, Path string

	// One of them is set.
	Options  *redis.Options
	Cluster  *redis.ClusterOptions
	Failover *redis.FailoverOptions
}

func (n *Node) String() string { return n.Scheme + "://" + n.Addr + n.Path }

// NodeOf returns the node of a client that somebody else made.
func NodeOf(client redis.UniversalClient) (*Node, error) {
	switch c := client.(type) {
	case *redis.Client:
		if c == nil {
			break
		}
		o := *c.Options()
		n := &Node{Scheme: "redis", Addr: o.Addr, Options: &o}
		if o.TLSConfig != nil {
			n.Scheme = "rediss"
		}
		if o.DB != 0 {
			n.Path = fmt.Sprint("/", o.DB)
		}
		return n, nil
	case *redis.ClusterClient:
		if c == nil {
			break
		}
		o := *c.Options()
		n := &Node{Scheme: "redis+cluster", Addr: strings.Join(o.Addrs, ","), Cluster: &o}
		if o.TLSConfig != nil {
			n.Scheme = "rediss+cluster"
		}
		return n, nil
	}
	return nil, fmt.Errorf("%w: a redis backend on a client of type %T", backend.ErrUnsupported, client)
}

// Connect returns a client of our own over w, with at most conns connections to a
// server beside those of subscriptions. No call to it takes longer than patience
// where its context does not say otherwise. It sends every command once: who
// calls knows what may be repeated. Over RESP2 a server says nothing unasked.
func (n *Node) Connect(w *Wire, conns int, patience time.Duration) redis.UniversalClient {
	quiet := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	switch {
	case n.Cluster != nil:
		o := *n.Cluster
		if o.Dialer == nil {
			o.Dialer = w.dialer(o.TLSConfig)
		}
		o.Dialer = w.Over(o.Dialer)
		o.Protocol, o.DisableIdentity, o.MaintNotificationsConfig = 2, true, quiet
		o.MaxRedirects, o.MaxRetries, o.DialerRetries = 3, -1, 1
		o.ClusterStateReloadInterval = max(time.Second, patience)
		o.ReadOnly, o.RouteByLatency, o.RouteRandomly = false, false, false
		// All that is sent has a key. To be routed by more, each client would ask for
		// COMMAND: 200 KB, and one more right.
		o.DisableRoutingPolicies, o.ShardPicker = true, nil
		o.ContextTimeoutEnabled = true
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = patience, patience, patience, patience
		o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns = conns, 0, 0, conns
		o.PipelinePoolSize, o.ConnMaxIdleTime = -1, -1
		return redis.NewClusterClient(&o)
	case n.Failover != nil:
		o := *n.Failover
		if o.Dialer == nil {
			o.Dialer = w.dialer(o.TLSConfig)
		}
		o.Dialer = w.Over(o.Dialer)
		o.Protocol, o.DisableIdentity = 2, true
		o.MaxRetries, o.DialerRetries = -1, 1
		o.ContextTimeoutEnabled = true
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = patience, patience, patience, patience
		o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns = conns, 0, 0, conns
		o.PipelinePoolSize, o.ConnMaxIdleTime = -1, -1
		return redis.NewFailoverClient(&o)
	}
	o := *n.Options
	if o.Dialer == nil {
		o.Dialer = w.dialer(o.TLSConfig)
	}
	o.Dialer = w.Over(o.Dialer)
	o.Protocol, o.DisableIdentity, o.MaintNotificationsConfig = 2, true, quiet
	o.MaxRetries, o.DialerRetries = -1, 1
	o.ClientSideCache, o.ClientSideCacheConfig, o.PushNotificationProcessor = nil, nil, nil
	o.ContextTimeoutEnabled = true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = patience, patience, patience, patience
	o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns = conns, 0, 0, conns
	o.PipelinePoolSize, o.ConnMaxIdleTime = -1, -1
	return redis.NewClient(&o)
}

// Escape returns s as it stands in the query of a URL.
func Escape(s string) string { return url.QueryEscape(s) }
