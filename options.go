package dlock

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// An Option changes how a client works.
type Option func(*options) error

type options struct {
	ttl       time.Duration
	handoff   time.Duration
	namespace string
	reason    string
	logger    *slog.Logger
	onLoss    func(Loss)
	tracer    trace.Tracer // nil when nobody traces
	traceName func(string) string
}

// The defaults of the options, and their bounds.
const (
	defaultTTL     = 10 * time.Second
	shortestTTL    = 100 * time.Millisecond
	defaultHandoff = 5 * time.Millisecond
	maxReason      = 1 << 10
)

// WithTTL sets for how long the store keeps what a client holds when it hears
// nothing from it, where the store works with leases. It is not a limit on how
// long a lock may be held: a client renews its leases for as long as it lives.
// The default is 10 s, the least 100 ms.
func WithTTL(ttl time.Duration) Option {
	return func(o *options) error {
		if ttl < shortestTTL {
			return fmt.Errorf("dlock: TTL %v is less than %v", ttl, shortestTTL)
		}
		o.ttl = ttl
		return nil
	}
}

// WithNamespace keeps the locks of this client apart from those of clients with
// another namespace, or with none, in the same store.
func WithNamespace(namespace string) Option {
	return func(o *options) error {
		if strings.ContainsRune(namespace, 0) {
			return errors.New("dlock: a namespace must not contain NUL")
		}
		o.namespace = namespace
		return nil
	}
}

// WithHandoff sets for how long the goroutines of this client may hand a lock
// from one to the next in memory while somebody elsewhere waits for it, counted
// from the grant or from when that became known; where the store cannot tell
// whether somebody waits, from the grant. It trades order between processes for
// speed. The default is 5 ms. With 0 nothing is handed on: processes take turns in the
// order in which they stand at the store, with one place each.
func WithHandoff(budget time.Duration) Option {
	return func(o *options) error {
		if budget < 0 {
			return fmt.Errorf("dlock: hand-over budget %v is negative", budget)
		}
		o.handoff = budget
		return nil
	}
}

// WithReason sets what [Client.Inspect] tells others of why this client holds its
// locks or waits for them, such as "nightly export". It has at most 1 KiB.
func WithReason(reason string) Option {
	return func(o *options) error {
		if len(reason) > maxReason {
			return fmt.Errorf("dlock: a reason of %d bytes is longer than %d", len(reason), maxReason)
		}
		o.reason = reason
		return nil
	}
}

// WithLogger sets where the client logs events that no call returns: a store that is
// out of reach, lost locks, holds that were never released. The default is
// slog.Default(). The logger may be slow: it is called on a goroutine of its own, with
// one line after the other, and when 1024 of them wait, those that come are only
// counted. Close waits for it; a program that exits without Close may miss the last
// lines.
func WithLogger(logger *slog.Logger) Option {
	return func(o *options) error {
		if logger == nil {
			return errors.New("dlock: nil logger")
		}
		o.logger = logger
		return nil
	}
}

// WithLossHandler has handler called for each hold that is lost, one at a time
// and in order, on a goroutine of the client. Close waits for it, unless handler
// itself calls Close; from another goroutine, for which handler waits, it must not. For
// users of Lock it is the way to learn of a loss.
func WithLossHandler(handler func(Loss)) Option {
	return func(o *options) error {
		if handler == nil {
			return errors.New("dlock: nil loss handler")
		}
		o.onLoss = handler
		return nil
	}
}

// WithTracerProvider has the client record a span for each acquisition and each
// release; see [Client] for their attributes. Without it nothing is spent on
// tracing.
func WithTracerProvider(provider trace.TracerProvider) Option {
	return func(o *options) error {
		if provider == nil {
			return errors.New("dlock: nil tracer provider")
		}
		o.tracer = provider.Tracer(scope)
		return nil
	}
}

// WithTraceName sets what spans say for the name of a lock: a hash of it, say,
// where names are secrets or too many, or "" for nothing.
func WithTraceName(name func(lock string) string) Option {
	return func(o *options) error {
		if name == nil {
			return errors.New("dlock: nil trace name")
		}
		o.traceName = name
		return nil
	}
}
