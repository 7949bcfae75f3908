package main

import (
	"testing"
	"time"

	"github.com/dlock-go/dlock"
)

func TestDescribe(t *testing.T) {
	now := time.Now()
	full := dlock.Participant{Host: "host-a", PID: 1234, Since: now.Add(-192 * time.Second), Reason: "nightly export"}
	for want, participants := range map[string][]dlock.Participant{
		"": nil,
		"held by host-a, process 1234, for 3m12s (nightly export)":               {full},
		"held by host-a, process 1234, for 3m12s (nightly export), and 1 other":  {full, {}},
		"held by host-a, process 1234, for 3m12s (nightly export), and 2 others": {full, {}, {}},
		"shared by host?b":                        {{Shared: true, Host: "host\x07b"}},
		"held by another program":                 {{}},
		"held by process 7, for 0s":               {{PID: 7, Since: now.Add(time.Hour)}}, // the store's clock is ahead
		"held by another program, for 1h":         {{Since: now.Add(-time.Hour)}},
		"held by another program, for 2h3m":       {{Since: now.Add(-123 * time.Minute)}},
		"held by another program, for 10s (a? b)": {{Since: now.Add(-10 * time.Second), Reason: "a\n b"}},
	} {
		if got := describeHolders(participants); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
