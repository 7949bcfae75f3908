//lint:file-ignore SA2001 Empty critical sections are what is measured.

package dlock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend/backendtest"
	"github.com/dlock-go/dlock/backend/memory"
)

// A recorder keeps spans in memory.
type recorder struct {
	*tracetest.SpanRecorder
	*sdk.TracerProvider
}

func newRecorder() recorder {
	spans := tracetest.NewSpanRecorder()
	return recorder{spans, sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))}
}

// last returns the span that ended last, and its attributes as text.
func (r recorder) last(t *testing.T) (sdk.ReadOnlySpan, map[string]string) {
	t.Helper()
	spans := r.Ended()
	if len(spans) == 0 {
		t.Fatal("no span")
	}
	s := spans[len(spans)-1]
	attrs := make(map[string]string)
	for _, a := range s.Attributes() {
		attrs[string(a.Key)] = a.Value.String()
	}
	return s, attrs
}

func TestTrace(t *testing.T) {
	rec := newRecorder()
	faults := backendtest.Faulty(memory.New(), backendtest.Plan{})
	defer faults.Bury()
	quiet := slog.New(slog.DiscardHandler)
	traced := func(opts ...dlock.Option) *dlock.Client {
		c, err := dlock.New(faults, append(opts, dlock.WithTracerProvider(rec), dlock.WithLogger(quiet))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		return c
	}
	a, b := traced(), traced(dlock.WithTraceName(func(string) string { return "" }))
	ctx, parent := rec.Tracer("test").Start(context.Background(), "work")
	want := func(span, outcome string, status codes.Code) map[string]string {
		t.Helper()
		s, attrs := rec.last(t)
		if s.Name() != span || attrs["dlock.outcome"] != outcome || s.Status().Code != status {
			t.Errorf("span %s, outcome %s, status %v; want %s, %s, %v", s.Name(), attrs["dlock.outcome"], s.Status().Code, span, outcome, status)
		}
		if s.Parent().SpanID() != parent.SpanContext().SpanID() {
			t.Errorf("%s is not a child of its caller's span", s.Name())
		}
		if status == codes.Error && attrs["error.type"] != outcome {
			t.Errorf("error.type is %q", attrs["error.type"])
		}
		return attrs
	}

	h, err := a.RWMutex("x").AcquireRead(ctx)
	if err != nil {
		t.Fatal(err)
	}
	token, _ := h.Token()
	attrs := want("dlock.acquire", "granted", codes.Unset)
	for key, value := range map[string]string{
		"dlock.name": "x", "dlock.class": "rwmutex", "dlock.mode": "shared", "dlock.via": "store",
		"dlock.position": "0", "dlock.try": "false", "dlock.token": fmt.Sprint(token), "dlock.backend": faults.String(),
	} {
		if attrs[key] != value {
			t.Errorf("%s is %q, not %q", key, attrs[key], value)
		}
	}
	if _, err := b.RWMutex("x").TryAcquire(ctx); !errors.Is(err, dlock.ErrBusy) {
		t.Fatal(err)
	}
	if attrs := want("dlock.acquire", "busy", codes.Unset); attrs["dlock.name"] != "" {
		t.Errorf("a name that was switched off: %q", attrs["dlock.name"])
	}
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if err := b.RWMutex("x").LockContext(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if attrs := want("dlock.acquire", "timeout", codes.Error); attrs["dlock.position"] != "0" {
		t.Errorf("the position of one who gave up is %q", attrs["dlock.position"])
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := b.RWMutex("x").LockContext(gone); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	want("dlock.acquire", "cancelled", codes.Error)
	if err := h.Release(ctx); err != nil {
		t.Fatal(err)
	}
	want("dlock.release", "released", codes.Unset)

	// Of x the store may still have what those asked for who gave up.
	h, err = a.Mutex("y").Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if faults.Lose("y") != 1 {
		t.Fatal("not lost")
	}
	<-h.Lost()
	if err := h.Release(ctx); !errors.Is(err, dlock.ErrLost) {
		t.Fatal(err)
	}
	want("dlock.release", "lost", codes.Error)

	// Without a context a span is a root.
	a.Mutex("y").Lock()
	if s, _ := rec.last(t); s.Name() != "dlock.acquire" || s.Parent().IsValid() {
		t.Errorf("the span of Lock is %s with parent %v", s.Name(), s.Parent())
	}
	a.Mutex("y").TryLock()
	_ = a.Close(context.Background())
	if _, err := a.Mutex("x").Acquire(ctx); !errors.Is(err, dlock.ErrClosed) {
		t.Fatal(err)
	}
	want("dlock.acquire", "closed", codes.Error)

	parent.End()
	s, _ := rec.last(t)
	if events := s.Events(); len(events) != 1 || events[0].Name != "dlock.lost" {
		t.Errorf("the span in which a lost hold was acquired has events %v", events)
	}
}

// A trace shows who waited for what: here one client for another.
func ExampleWithTracerProvider() {
	rec := newRecorder()
	store := memory.New()
	client := func(opts ...dlock.Option) *dlock.Client {
		c, err := dlock.New(store, opts...)
		if err != nil {
			log.Fatal(err)
		}
		return c
	}
	a, b, watcher := client(dlock.WithTracerProvider(rec)), client(dlock.WithTracerProvider(rec)), client()
	ctx := context.Background()
	defer a.Close(ctx)
	defer b.Close(ctx)
	defer watcher.Close(ctx)

	first, err := a.RWMutex("report").AcquireRead(ctx)
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		second, err := b.RWMutex("report").Acquire(ctx) // Waits for the reader.
		if err != nil {
			log.Fatal(err)
		}
		_ = second.Release(ctx)
	}()
	for rw := watcher.RWMutex("report"); rw.TryRLock(); { // Until a writer waits.
		rw.RUnlock()
	}
	_ = first.Release(ctx)
	<-done

	for _, s := range rec.Ended() {
		fmt.Print(s.Name())
		for _, attr := range s.Attributes() {
			switch attr.Key {
			case "dlock.name", "dlock.outcome", "dlock.via":
				fmt.Print(" ", attr.Value.String())
			}
		}
		fmt.Println()
	}
	// Unordered output:
	// dlock.acquire report granted store
	// dlock.release report released
	// dlock.acquire report granted queue
	// dlock.release report released
}

// Tracing costs nothing when it is off.
func BenchmarkTracing(b *testing.B) {
	for _, on := range []bool{false, true} {
		b.Run(fmt.Sprintf("on=%v", on), func(b *testing.B) {
			var opts []dlock.Option
			if on {
				opts = append(opts, dlock.WithTracerProvider(sdk.NewTracerProvider()))
			}
			c, err := dlock.New(memory.New(), opts...)
			if err != nil {
				b.Fatal(err)
			}
			mu := c.Mutex("bench")
			b.ReportAllocs()
			for b.Loop() {
				mu.Lock()
				mu.Unlock()
			}
			if err := c.Close(context.Background()); err != nil {
				b.Error(err)
			}
		})
	}
}
