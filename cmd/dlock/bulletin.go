package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/dlock-go/dlock"
)

const (
	// shortWait is what is not worth a word.
	shortWait = 300 * time.Millisecond
	// glance is the time between two looks at who holds the lock, where a look
	// replaces the one before.
	glance = time.Second
	// rarest is the longest time between two lines where they stay.
	rarest = 5 * time.Minute
	// longestLook is how long a look may take.
	longestLook = 5 * time.Second
)

// A bulletin tells whom dlock waits for and for how long.
type bulletin struct {
	// Immutable.
	job    *job
	client *dlock.Client
	begin  time.Time
	end    context.CancelFunc
	done   chan struct{} // closed by run
}

// issue begins to tell, if anybody wants to hear it.
func (j *job) issue(client *dlock.Client) *bulletin {
	ctx, cancel := context.WithCancel(context.Background())
	b := &bulletin{job: j, client: client, begin: time.Now(), end: cancel, done: make(chan struct{})}
	if _, ok := terminalWidth(os.Stderr); j.try || j.quiet || !ok && !j.verbose {
		close(b.done)
	} else {
		go b.run(ctx)
	}
	return b
}

// stop ends it, and takes back what was to be replaced.
func (b *bulletin) stop() {
	b.end()
	<-b.done
	clearFleeting()
}

func (b *bulletin) run(ctx context.Context) {
	defer close(b.done)
	pause := shortWait
	for {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		columns, ok := terminalWidth(os.Stderr)
		if !b.job.verbose && (!ok || behind(os.Stderr)) {
			pause = glance // It may come to the foreground.
			continue
		}
		whom := b.job.standing(ctx, b.client)
		if ctx.Err() != nil {
			return
		}
		if columns > 0 && !behind(os.Stderr) {
			sayFleeting(fmt.Sprintf("waiting for %s for %s: %s", brief(b.job.name), round(time.Since(b.begin)), whom), columns)
			pause = glance
			continue
		}
		say(fmt.Sprintf("waiting for %s: %s", brief(b.job.name), whom))
		pause = min(max(2*pause, glance), rarest)
	}
}

// standing tells who holds the lock of the job and how many will have it before.
func (j *job) standing(ctx context.Context, client *dlock.Client) string {
	ctx, cancel := context.WithTimeout(ctx, longestLook)
	defer cancel()
	found, err := client.Inspect(ctx, j.name)
	if err != nil {
		return "who holds it is not known"
	}
	s := describeHolders(of(j.class(), found.Holders))
	if s == "" {
		s = "held by nobody at this moment"
	}
	if n := before(of(j.class(), found.Waiters)); n > 0 {
		s += fmt.Sprintf("; %d before us", n)
	}
	return s
}

// before returns how many of waiters stand before this process.
func before(waiters []dlock.Participant) int {
	host, _ := os.Hostname()
	for i, p := range waiters {
		if p.PID == os.Getpid() && p.Host == host {
			return i
		}
	}
	return len(waiters)
}
