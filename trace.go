package dlock

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/coordinator"
)

// scope is the name under which the spans are found.
const scope = "github.com/dlock-go/dlock"

// The names of spans and attributes. They are documented at Client.
const (
	spanAcquire = "dlock.acquire"
	spanRelease = "dlock.release"
	eventLost   = "dlock.lost"

	attrName     = attribute.Key("dlock.name")
	attrClass    = attribute.Key("dlock.class")
	attrMode     = attribute.Key("dlock.mode")
	attrBackend  = attribute.Key("dlock.backend")
	attrTry      = attribute.Key("dlock.try")
	attrOutcome  = attribute.Key("dlock.outcome")
	attrVia      = attribute.Key("dlock.via")
	attrPosition = attribute.Key("dlock.position")
	attrToken    = attribute.Key("dlock.token")
	attrError    = attribute.Key("error.type")
)

// trace starts a span, which the caller ends.
func (s *lockRef) trace(ctx context.Context, span string, more ...attribute.KeyValue) (context.Context, trace.Span) {
	mode := "exclusive"
	if s.mode == backend.Shared {
		mode = "shared"
	}
	attrs := append(more, attrClass.String(s.class.String()), attrMode.String(mode), attrBackend.String(s.client.backend))
	name := s.name
	if s.client.options.traceName != nil {
		name = s.client.options.traceName(name)
	}
	if name != "" {
		attrs = append(attrs, attrName.String(name))
	}
	return s.client.options.tracer.Start(ctx, span, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
}

// traceAcquire is acquire inside a span.
func (s *lockRef) traceAcquire(ctx context.Context, p patience) (*coordinator.Claim, error) {
	ctx, span := s.trace(ctx, spanAcquire, attrTry.Bool(p == once))
	defer span.End()
	c, err := s.acquireRetrying(ctx, p)
	if c != nil {
		span.SetAttributes(attrPosition.Int(c.Ahead()))
	}
	if err != nil {
		outcome := outcomeOf(err)
		span.SetAttributes(attrOutcome.String(outcome))
		if outcome != "busy" { // That is an answer, and no error.
			span.SetAttributes(attrError.String(outcome))
			span.SetStatus(codes.Error, err.Error())
		}
		return nil, err
	}
	span.SetAttributes(attrOutcome.String("granted"), attrVia.String(vias[c.Via]))
	if c.Token != 0 {
		span.SetAttributes(attrToken.String(fmt.Sprint(c.Token)))
	}
	return c, nil
}

var vias = [...]string{coordinator.Store: "store", coordinator.Queue: "queue", coordinator.Memory: "memory"}

// traceRelease is release inside a span.
func (s *lockRef) traceRelease(ctx context.Context, c *coordinator.Claim) error {
	ctx, span := s.trace(ctx, spanRelease)
	defer span.End()
	err := s.releaseClaim(ctx, c)
	if err == nil {
		span.SetAttributes(attrOutcome.String("released"))
		return nil
	}
	outcome := outcomeOf(err)
	span.SetAttributes(attrOutcome.String(outcome), attrError.String(outcome))
	if outcome == "lost" {
		span.AddEvent(eventLost)
	}
	span.SetStatus(codes.Error, err.Error())
	return err
}

// traceLoss tells a span that is under way of a loss.
func (c *Client) traceLoss(span trace.Span) { span.AddEvent(eventLost) }

// outcomeOf names an error in one word.
func outcomeOf(err error) string {
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o.name
		}
	}
	return "failed"
}

var outcomes = []struct {
	err  error
	name string
}{
	{ErrBusy, "busy"},
	{context.DeadlineExceeded, "timeout"},
	{context.Canceled, "cancelled"},
	{ErrLost, "lost"},
	{ErrClosed, "closed"},
	{ErrLimit, "limit"},
	{ErrName, "name"},
	{ErrUnsupported, "unsupported"},
}
