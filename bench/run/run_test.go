package run

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/dlock-go/dlock/bench/contestant"
	"github.com/dlock-go/dlock/bench/process"
	"github.com/dlock-go/dlock/bench/testbed"
	"github.com/dlock-go/dlock/bench/workload"
)

func TestMain(m *testing.M) {
	if !process.Ordered() {
		os.Exit(m.Run())
	}
	if err := process.Serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Every workload brings all its figures from those who need no server.
func TestEveryWorkload(t *testing.T) {
	var contestants []*contestant.Contestant
	for _, c := range contestant.All {
		if c.Store == contestant.Memory || c.Store == contestant.File {
			contestants = append(contestants, c)
		}
	}
	r := &Run{Testbed: &testbed.Testbed{Dir: t.TempDir()}, Contestants: contestants, Quick: true}
	r.Shown = func(*workload.Workload, int, Results) {}
	for _, w := range workload.All {
		small := *w
		small.Quick = workload.Effort{Sizes: []int{w.Processes * 2}, Rounds: 2, Length: 100 * time.Millisecond}
		if w.Name == "waiting" || len(w.Endings) > 0 {
			small.Quick.Length = time.Minute // It is a bound there.
		}
		results := r.Do(t.Context(), &small)
		if len(results) < 3 && w.RoundTrip == nil { // That is of servers, too.
			t.Errorf("%s: %d contestants", w.Name, len(results))
		}
		for _, m := range results {
			if m.Failure != "" || len(m.Rounds) != 2 {
				t.Errorf("%s: %s: %d rounds: %s", w.Name, m.Contestant, len(m.Rounds), m.Failure)
				continue
			}
			for _, f := range m.Rounds {
				if _, ok := f[w.Columns[0].Key]; !ok && w.Name != "holding" { // That is of servers.
					t.Errorf("%s: %s has no %s: %v", w.Name, m.Contestant, w.Columns[0].Key, f)
				}
			}
		}
	}
}

func TestAFailureEndsTheRoundsOfOne(t *testing.T) {
	refused, err := contestant.Find("dlock-redis")
	if err != nil {
		t.Fatal(err)
	}
	fine, err := contestant.Find("sync")
	if err != nil {
		t.Fatal(err)
	}
	w, err := workload.Find("own")
	if err != nil {
		t.Fatal(err)
	}
	small := *w
	small.Quick = workload.Effort{Sizes: []int{1, 2}, Rounds: 2, Length: 20 * time.Millisecond}
	r := &Run{Testbed: &testbed.Testbed{RedisAddr: "127.0.0.1:1"}, Contestants: []*contestant.Contestant{refused, fine}, Quick: true}
	r.Shown = func(*workload.Workload, int, Results) {}
	results := r.Do(t.Context(), &small)
	if m := results.Find("own", 1, "dlock-redis"); m == nil || m.Failure == "" {
		t.Error("a server that is not there is no failure")
	}
	if m := results.Find("own", 2, "dlock-redis"); m != nil {
		t.Error("tried again after a failure")
	}
	if m := results.Find("own", 2, "sync"); m == nil || len(m.Rounds) != 2 {
		t.Error("the failure of one kept another from working")
	}
}
