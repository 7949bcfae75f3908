package redis_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend/redis"
	"github.com/dlock-go/dlock/internal/redistest"
)

func TestBucketsAreSpreadOverTheSlots(t *testing.T) {
	t.Parallel()
	c := redistest.NewCluster(t, 3, 0)
	for bucket, tag := range redis.Tags() {
		slot := redis.Slot(bucket)
		if got := do(t, c.Masters[0], "CLUSTER", "KEYSLOT", "dlock:{"+tag+"}:m:name"); got != strconv.Itoa(slot) {
			t.Errorf("bucket %d: slot %d, the server says %s", bucket, slot, got)
		}
		if slot/1024 != bucket {
			t.Errorf("bucket %d lies in slot %d", bucket, slot)
		}
	}
	seen := make(map[int]int)
	for i := range 1600 {
		seen[redis.Bucket(fmt.Sprint("name ", i))]++
	}
	for bucket := range redis.Tags() {
		if n := seen[bucket]; n < 50 || n > 200 {
			t.Errorf("%d of 1600 names in bucket %d", n, bucket)
		}
	}
}

func clusterURL(c *redistest.Cluster) string {
	return "redis+cluster://" + strings.Join(c.Addrs(), ",")
}

// nameIn returns a name that lies in a bucket.
func nameIn(bucket int, kind ...any) string {
	for i := 0; ; i++ {
		if name := fmt.Sprint(append(kind, i)...); redis.Bucket(name) == bucket {
			return name
		}
	}
}

// master returns which master has a bucket: each of three has a third of the slots.
func master(bucket int) int { return redis.Slot(bucket) * 3 / 16384 }

func TestClusterNodeHangs(t *testing.T) {
	t.Parallel()
	cluster := redistest.NewCluster(t, 3, 0, "cluster-require-full-coverage no")
	const ttl = 6 * time.Second
	c := open(t, clusterURL(cluster), ttl)
	var holds []*dlock.Hold
	for bucket := range redis.Tags() {
		holds = append(holds, acquire(t, c.Mutex(nameIn(bucket))))
	}
	const paused = 1
	cluster.Masters[paused].Pause()
	began := time.Now()
	for began := time.Now(); time.Since(began) < 2*ttl; {
		for bucket := range redis.Tags() {
			if master(bucket) == paused {
				continue
			}
			start := time.Now()
			release(t, acquire(t, c.Mutex(nameIn(bucket, "other "))))
			if d := time.Since(start); d > 2*time.Second {
				t.Errorf("a pair on a node that is well took %v", d)
			}
		}
		time.Sleep(50 * time.Millisecond) // No hurry: it is about how long each takes.
	}
	for bucket, h := range holds {
		if lost := h.Err() != nil; lost != (master(bucket) == paused) {
			t.Errorf("bucket %d of master %d: %v after %v", bucket, master(bucket), h.Err(), time.Since(began))
		}
	}
	cluster.Masters[paused].Resume()
	for bucket := range redis.Tags() {
		if master(bucket) == paused {
			release(t, acquire(t, c.Mutex(nameIn(bucket))))
		} else {
			release(t, holds[bucket])
		}
	}
}

func TestClusterFailover(t *testing.T) {
	t.Parallel()
	cluster := redistest.NewCluster(t, 3, 1)
	a, b := open(t, clusterURL(cluster), 10*time.Second), open(t, clusterURL(cluster), 10*time.Second)
	holds := make([]*dlock.Hold, len(redis.Tags()))
	for bucket := range holds {
		holds[bucket] = acquire(t, a.Mutex(nameIn(bucket)))
	}
	cluster.Masters[0].Kill()
	var all sync.WaitGroup
	for bucket := range holds {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			next := make(chan *dlock.Hold, 1)
			go func() {
				h, err := b.Mutex(nameIn(bucket)).Acquire(ctx)
				if err != nil {
					t.Errorf("bucket %d: %v", bucket, err)
				}
				next <- h
			}()
			select {
			case h := <-next:
				if h != nil {
					// A replica that had not heard of the hold has granted the lock
					// anew: then the first one is told.
					select {
					case <-holds[bucket].Lost():
					case <-time.After(patience):
						t.Errorf("bucket %d: two hold the lock, and the first does not know", bucket)
					}
					h.Release(ctx)
				}
				return
			case <-time.After(5 * time.Second): // of waiting beside the failover
			}
			if err := holds[bucket].Err(); err != nil && master(bucket) != 0 {
				t.Errorf("bucket %d: %v, though its node is well", bucket, err)
			}
			holds[bucket].Release(ctx)
			if h := <-next; h != nil {
				h.Release(ctx)
			}
		})
	}
	all.Wait()
}

// TestClusterReshards moves the slot of a bucket to and fro while its locks are
// used.
func TestClusterReshards(t *testing.T) {
	t.Parallel()
	cluster := redistest.NewCluster(t, 3, 0)
	clients := []*dlock.Client{open(t, clusterURL(cluster), 5*time.Second), open(t, clusterURL(cluster), 5*time.Second)}
	const bucket = 3
	name := nameIn(bucket)
	held := acquire(t, clients[0].Mutex(nameIn(bucket, "held ")))

	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var inside, rounds atomic.Int64
	for i := range 4 {
		all.Go(func() {
			mu := clients[i%2].Mutex(name)
			for ctx.Err() == nil {
				h, err := mu.Acquire(ctx)
				if err != nil {
					continue
				}
				if inside.Add(1) != 1 && h.Err() == nil {
					t.Error("two hold the lock")
				}
				rounds.Add(1)
				time.Sleep(200 * time.Microsecond)
				inside.Add(-1)
				h.Release(context.Background())
			}
		})
	}
	slot := strconv.Itoa(redis.Slot(bucket))
	from, to := cluster.Masters[master(bucket)], cluster.Masters[(master(bucket)+1)%3]
	for range 6 {
		before := rounds.Load()
		until(t, "the lock is used", func() bool { return rounds.Load() > before+20 })
		move(t, cluster, slot, from, to)
		from, to = to, from
	}
	before := rounds.Load()
	until(t, "the lock is used", func() bool { return rounds.Load() > before+20 })
	stop()
	all.Wait()
	if err := held.Err(); err != nil {
		t.Errorf("what was held all the time: %v", err)
	}
	release(t, held)
	if n := rounds.Load(); n < 100 {
		t.Errorf("only %d rounds", n)
	}
}

// move moves a slot with its keys, one by one, as redis-cli does.
func move(t *testing.T, cluster *redistest.Cluster, slot string, from, to *redistest.Server) {
	t.Helper()
	fromID, toID := do(t, from, "CLUSTER", "MYID"), do(t, to, "CLUSTER", "MYID")
	do(t, to, "CLUSTER", "SETSLOT", slot, "IMPORTING", fromID)
	do(t, from, "CLUSTER", "SETSLOT", slot, "MIGRATING", toID)
	_, port, _ := strings.Cut(to.Addr(), ":")
	for {
		v, err := from.Do("CLUSTER", "GETKEYSINSLOT", slot, "1")
		if err != nil {
			t.Fatal(err)
		}
		keys, _ := v.([]any)
		if len(keys) == 0 {
			break
		}
		do(t, from, "MIGRATE", "127.0.0.1", port, fmt.Sprint(keys[0]), "0", "5000")
		time.Sleep(5 * time.Millisecond) // so that others come in between
	}
	for _, s := range []*redistest.Server{to, from} {
		do(t, s, "CLUSTER", "SETSLOT", slot, "NODE", toID)
	}
	for _, s := range cluster.Masters {
		if s != from && s != to {
			do(t, s, "CLUSTER", "SETSLOT", slot, "NODE", toID)
		}
	}
}
