// Package transcript replays conversations with a state machine, for tests. They stand in
// testdata/*.txt: what is said to the machine in a line that begins with ">", and below it what
// the machine does. Lines that are empty or begin with "#" are for the reader.
package transcript

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what the machine does into the transcripts")

// A Log takes what a machine does.
type Log struct{ text strings.Builder }

// Printf adds a line.
func (l *Log) Printf(format string, args ...any) { fmt.Fprintf(&l.text, "  "+format+"\n", args...) }

// Replay holds each conversation. A new machine is begun for each; say says a line to it, as
// words, and logs what the machine does.
func Replay(t *testing.T, begin func(*Log) (say func(words []string))) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want = bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))
			got := replay(string(want), begin)
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("%s is now:\n%s", file, got)
			}
		})
	}
}

func replay(script string, begin func(*Log) func([]string)) string {
	log := new(Log)
	say := begin(log)
	for line := range strings.Lines(script) {
		switch {
		case strings.HasPrefix(line, "> "):
			log.text.WriteString(line)
			say(strings.Fields(line)[1:])
		case strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "":
			log.text.WriteString(line)
		}
	}
	return log.text.String()
}
