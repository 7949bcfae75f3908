package redis

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/dlock-go/dlock/backend"
)

// A node is a Redis server, or a cluster of them, and how to connect to it.
type node struct {
	// Immutable. For people, without secrets: scheme://addr and path, which has
	// the database and what else tells the node apart.
	scheme, addr, path string

	// One of them is set.
	options  *redis.Options
	cluster  *redis.ClusterOptions
	failover *redis.FailoverOptions
}

func (n *node) String() string { return n.scheme + "://" + n.addr + n.path }

// nodeOf returns the node of a client that somebody else made.
func nodeOf(client redis.UniversalClient) (*node, error) {
	switch c := client.(type) {
	case *redis.Client:
		if c == nil {
			break
		}
		o := *c.Options()
		n := &node{scheme: "redis", addr: o.Addr, options: &o}
		if o.TLSConfig != nil {
			n.scheme = "rediss"
		}
		if o.DB != 0 {
			n.path = fmt.Sprint("/", o.DB)
		}
		return n, nil
	case *redis.ClusterClient:
		if c == nil {
			break
		}
		o := *c.Options()
		n := &node{scheme: "redis+cluster", addr: strings.Join(o.Addrs, ","), cluster: &o}
		if o.TLSConfig != nil {
			n.scheme = "rediss+cluster"
		}
		return n, nil
	}
	return nil, fmt.Errorf("%w: a redis backend on a client of type %T", backend.ErrUnsupported, client)
}

// connect returns a client of our own over w, with at most conns connections to a
// server beside those of subscriptions. No call to it takes longer than patience
// where its context does not say otherwise. It sends every command once: who
// calls knows what may be repeated. Over RESP2 a server says nothing unasked.
func (n *node) connect(w *wire, conns int, patience time.Duration) redis.UniversalClient {
	quiet := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	switch {
	case n.cluster != nil:
		o := *n.cluster
		if o.Dialer == nil {
			o.Dialer = w.dialer(o.TLSConfig)
		}
		o.Dialer = w.over(o.Dialer)
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
	case n.failover != nil:
		o := *n.failover
		if o.Dialer == nil {
			o.Dialer = w.dialer(o.TLSConfig)
		}
		o.Dialer = w.over(o.Dialer)
		o.Protocol, o.DisableIdentity = 2, true
		o.MaxRetries, o.DialerRetries = -1, 1
		o.ContextTimeoutEnabled = true
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = patience, patience, patience, patience
		o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns = conns, 0, 0, conns
		o.PipelinePoolSize, o.ConnMaxIdleTime = -1, -1
		return redis.NewFailoverClient(&o)
	}
	o := *n.options
	if o.Dialer == nil {
		o.Dialer = w.dialer(o.TLSConfig)
	}
	o.Dialer = w.over(o.Dialer)
	o.Protocol, o.DisableIdentity, o.MaintNotificationsConfig = 2, true, quiet
	o.MaxRetries, o.DialerRetries = -1, 1
	o.ClientSideCache, o.ClientSideCacheConfig, o.PushNotificationProcessor = nil, nil, nil
	o.ContextTimeoutEnabled = true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = patience, patience, patience, patience
	o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns = conns, 0, 0, conns
	o.PipelinePoolSize, o.ConnMaxIdleTime = -1, -1
	return redis.NewClient(&o)
}

func escape(s string) string { return url.QueryEscape(s) }
