package quorum

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
)

// TestOldServersAreRefused looks at what servers of other versions say.
func TestOldServersAreRefused(t *testing.T) {
	for version, fit := range map[string]bool{"5.0.14": false, "6.0.16": false, "6.2.0": true, "7.0.15": true, "10.0.0": true, "": true, "unstable": true} {
		err := redisconn.FitNode(map[string]string{"run_id": "x", "role": "master", "redis_version": version})
		switch {
		case fit && err != nil:
			t.Errorf("%q: %v", version, err)
		case !fit && (!errors.Is(err, backend.ErrUnsupported) || !strings.Contains(err.Error(), version)):
			t.Errorf("%q: %v, want ErrUnsupported with the version", version, err)
		}
	}
}

// TestStandings is who may vote at once of servers that have no marker.
func TestStandings(t *testing.T) {
	fresh, marked := &greeting{run: "a"}, &greeting{run: "b", marker: "b"}
	founding := &greeting{run: "b", marker: "b", age: time.Second, peers: "a,b,c"}
	founded := &greeting{run: "b", marker: "b", age: time.Minute, peers: "a,b,c"}
	others := &greeting{run: "b", marker: "b", age: time.Second, peers: "aa,b,c"}
	for _, c := range []struct {
		what  string
		later bool
		all   []*greeting
		want  string
	}{
		{"nobody has a marker", false, []*greeting{fresh, fresh, fresh}, "new"},
		{"nobody has one, and it was met before", true, []*greeting{fresh, fresh, fresh}, "lost"},
		{"one was not reached", false, []*greeting{fresh, fresh, nil}, "unsure"},
		{"one has it", false, []*greeting{fresh, marked, fresh}, "lost"},
		{"one has it and one was not reached", false, []*greeting{fresh, marked, nil}, "lost"},
		{"it is being set up", false, []*greeting{fresh, founding, fresh}, "new"},
		{"it is being set up, and one was not reached", false, []*greeting{fresh, founding, nil}, "new"},
		{"it is being set up, and it was met before", true, []*greeting{fresh, founding, fresh}, "lost"},
		{"it was set up with it", false, []*greeting{fresh, founded, fresh}, "lost"},
		{"it is being set up without it", false, []*greeting{fresh, others, fresh}, "lost"},
	} {
		if got := standingOf("a", !c.later, c.all); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}
