package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// project is a module with a package for each end that a test can take.
var project = map[string]string{
	"go.mod": "module example.org/m\n\ngo 1.26\n",
	"good/good_test.go": `package good
import ("testing"; "time")
func TestSlow(t *testing.T) { t.Log("quiet"); time.Sleep(10*time.Millisecond) }
func TestParts(t *testing.T) {
	t.Run("slower", func(t *testing.T) { time.Sleep(10*time.Millisecond) })
	for _, name := range []string{"beside/x", "beside/y"} {
		t.Run(name, func(t *testing.T) { t.Parallel(); })
	}
}
`,
	"bad/bad_test.go": `package bad
import ("fmt"; "testing")
func TestGood(t *testing.T) { t.Log("nobody asks") }
func TestBad(t *testing.T) {
	t.Run("part", func(t *testing.T) { fmt.Println("printed"); t.Log("one\ntwo"); t.Error("three") })
	t.Run("good part", func(t *testing.T) { t.Log("nobody asks") })
}
func TestTalks(t *testing.T) { fmt.Println("out of turn") }
`,
	"worse/worse_test.go": `package worse
import "testing"
func TestPanic(t *testing.T) { t.Log("before"); panic("a pity") }
`,
	"worst/worst_test.go": `package worst
func TestNothing(t *testing.T) {}
`,
	"none/none.go": "package none\n",
	"flaky/flaky_test.go": `package flaky
import ("os"; "testing")
func TestParts(t *testing.T) {
	t.Run("first (1/2)", func(t *testing.T) {
		if err := os.Mkdir("been", 0o777); err == nil { t.Fatal("not yet") }
	})
	t.Run("second", func(t *testing.T) {})
}
`,
	"racy/racy_test.go": `package racy
import ("os"; "testing")
func TestRace(t *testing.T) {
	if err := os.Mkdir("been", 0o777); err == nil { t.Fatal("WARNING: DATA RACE") }
}
`,
	"left/left_test.go": `package left
import ("os"; "testing")
func TestNothing(t *testing.T) {}
func TestMain(m *testing.M) {
	code := m.Run()
	if err := os.Mkdir("been", 0o777); err == nil { code = 1 }
	os.Exit(code)
}
`,
	"gone/gone_test.go": `package gone
import ("os"; "testing")
func TestParts(t *testing.T) {
	if err := os.Mkdir("been", 0o777); err == nil { t.Run("once", func(t *testing.T) { t.Fatal("not yet") }) }
}
`,
	"skips/skips_test.go": `package skips
import ("os"; "testing")
func TestSkips(t *testing.T) {
	if err := os.Mkdir("been", 0o777); err == nil { t.Fatal("not yet") }
	t.Skip("not here")
}
`,
	"many/many_test.go": `package many
import ("os"; "testing")
func TestMany(t *testing.T) {
	err := os.Mkdir("been", 0o777)
	for _, name := range []string{"1", "2", "3", "4", "5"} {
		t.Run(name, func(t *testing.T) { if err == nil { t.Fatal("not yet") } })
	}
}
`,
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	for name, text := range project {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for _, test := range []struct {
		pkgs   []string
		code   int
		shown  []string
		hidden []string
	}{
		{
			pkgs:   []string{"./good", "./none"},
			shown:  []string{"ok  \texample.org/m/good\t", "?   \texample.org/m/none\t[no test files]", "The slowest tests:\n"},
			hidden: []string{"quiet", "PASS", "==="},
		},
		{
			pkgs: []string{"./good", "./bad", "./worse"},
			code: 1,
			shown: []string{
				"ok  \texample.org/m/good\t", "FAIL\texample.org/m/bad\t", "FAIL\texample.org/m/worse\t",
				"--- FAIL: TestBad/part", "printed\n", "bad_test.go:5: one\n        two\n", "bad_test.go:5: three\n", "out of turn",
				"before\n", "panic: a pity", "goroutine ", "m/good TestSlow\n",
			},
			hidden: []string{"nobody asks", "==="},
		},
		{
			pkgs:  []string{"./worst", "./good"},
			code:  1,
			shown: []string{"undefined: testing", "FAIL\texample.org/m/worst [build failed]", "ok  \texample.org/m/good\t"},
		},
		{pkgs: []string{"-no-such-flag"}, code: 2},
		{
			pkgs:   []string{"./flaky", "./good"},
			shown:  []string{"not yet", "FAIL\texample.org/m/flaky", "Again, 3 times by itself: example.org/m/flaky TestParts/first_(1/2)\n", "FLAKY", "The slowest tests:"},
			hidden: []string{"itself: example.org/m/flaky TestParts\n"},
		},
		{
			pkgs:   []string{"./bad"},
			code:   1,
			shown:  []string{"Again, 3 times by itself: example.org/m/bad TestBad/part\n", "three"},
			hidden: []string{"FLAKY"},
		},
		{pkgs: []string{"./racy"}, code: 1, hidden: []string{"Again"}},
		{pkgs: []string{"./left"}, code: 1, hidden: []string{"Again"}},
		{pkgs: []string{"./gone"}, code: 1, shown: []string{"Again", "It passed 0 times"}, hidden: []string{"FLAKY"}},
		{pkgs: []string{"./skips"}, code: 1, shown: []string{"Again", "It passed 0 times"}, hidden: []string{"FLAKY"}},
		{pkgs: []string{"./many"}, code: 1, hidden: []string{"Again"}},
	} {
		var out, complaints bytes.Buffer
		code, err := run(test.pkgs, &out, &complaints)
		if err != nil || code != test.code && (code == 0 || test.code == 0) {
			t.Errorf("%v: code %d and %v, want %d", test.pkgs, code, err, test.code)
		}
		for _, text := range test.shown {
			if !strings.Contains(out.String(), text) {
				t.Errorf("%v: not shown: %q", test.pkgs, text)
			}
		}
		for _, text := range test.hidden {
			if strings.Contains(out.String(), text) {
				t.Errorf("%v: shown: %q", test.pkgs, text)
			}
		}
		if t.Failed() {
			t.Fatalf("%v:\n%s\n%s", test.pkgs, &out, &complaints)
		}
	}
}

// TestEnd ends a run in the middle.
func TestEnd(t *testing.T) {
	var out strings.Builder
	s := newSession(&out)
	if err := read(strings.NewReader(`{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Test":"TestDone","Output":"    a.go:1: nobody asks\n"}
{"Action":"run","Package":"p","Test":"TestDone/part"}
{"Action":"pass","Package":"p","Test":"TestDone/part","Elapsed":2.5}
{"Action":"run","Package":"p","Test":"TestDone/beside/it"}
{"Action":"pause","Package":"p","Test":"TestDone/beside/it"}
{"Action":"pass","Package":"p","Test":"TestDone/beside/it","Elapsed":2}
{"Action":"pass","Package":"p","Test":"TestDone","Elapsed":4}
{"Action":"output","Package":"p","Test":"TestHangs","Output":"=== RUN   TestHangs\n"}
{"Action":"output","Package":"p","Test":"TestHangs","Output":"    a.go:1: the last words\n"}
no event
`), s); err != nil {
		t.Fatal(err)
	}
	s.end(3)
	const want = "no event\n    a.go:1: the last words\nFAIL\tp\t[not ended]\n\nThe slowest tests:\n" +
		"   2.50s  p TestDone/part\n   2.00s  p TestDone/beside/it\n   1.50s  p TestDone\n"
	if got := out.String(); got != want {
		t.Errorf("shown is\n%s\nwant\n%s", got, want)
	}
}
