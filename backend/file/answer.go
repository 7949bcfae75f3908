package file

import (
	"context"
	"fmt"
	"time"
)

const (
	// identified is how long a file system may take to say what kind it is.
	identified = 500 * time.Millisecond
	// orderly is how long what has been asked for may go on when its ctx has ended: it
	// may know what it was waiting for.
	orderly = 10 * time.Millisecond
	// closeTimeout is how long Close may: on a file system that works it gets to its end.
	closeTimeout = 200 * time.Millisecond
)

// answered returns what f does with the file system of dir. No call to one can be
// interrupted, and one that is frozen, or on a server that is gone, does not answer: when
// ctx has ended, and the grace after that, f goes on by itself, and what it makes in the end is for unmake.
func answered[T any](ctx context.Context, dir string, grace time.Duration, f func() (T, error), unmake func(T)) (T, error) {
	type answer struct {
		made T
		err  error
	}
	answers := make(chan answer, 1) // with room, so that f is never waited for
	go func() {
		made, err := f()
		answers <- answer{made, err}
	}()
	select {
	case a := <-answers:
		return a.made, a.err
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case a := <-answers:
		return a.made, a.err
	case <-late.C:
	}
	if unmake != nil {
		go func() {
			if a := <-answers; a.err == nil {
				unmake(a.made)
			}
		}()
	}
	var none T
	err := ctx.Err()
	if cause := context.Cause(ctx); cause != err {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return none, fmt.Errorf("the file system of %s has not answered: %w", dir, err)
}
