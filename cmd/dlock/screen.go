package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"unicode"
)

// screen is standard error. On a terminal its last line may be one that is
// replaced by the next.
var screen struct {
	mu      sync.Mutex
	fleeing bool // the line is to be replaced
}

// eraser takes back what stands in the line of the cursor.
const eraser = "\r\x1b[K"

// say prints one message. All that dlock prints beside the command starts alike.
func say(message any) {
	screen.mu.Lock()
	defer screen.mu.Unlock()
	erase()
	fmt.Fprintln(os.Stderr, "dlock: "+strings.TrimPrefix(inWords(fmt.Sprint(message)), "dlock: "))
}

// classes finds the locks in messages of the library, which names them as a Go program
// does.
var classes = regexp.MustCompile(`\b(?:(?:try)?acquire|release|inspect|hold) (?:rwmutex|semaphore|mutex)\b|\bclass=(?:rwmutex|semaphore)\b`)

var shellWords = strings.NewReplacer("tryacquire", "acquire", "inspect mutex", "inspect", "inspect rwmutex", "inspect", "inspect semaphore", "inspect", "rwmutex", "lock", "semaphore", "slot")

// inWords says a message in the words of the flags.
func inWords(message string) string {
	message = strings.Replace(message, "semaphore in use with another limit", "slots in use with another number", 2)
	return classes.ReplaceAllStringFunc(message, shellWords.Replace)
}

// sayFleeting prints a message that the next one replaces. The caller knows that
// standard error is a terminal of so many columns.
func sayFleeting(message string, columns int) {
	screen.mu.Lock()
	defer screen.mu.Unlock()
	line := []rune("dlock: " + message)
	// A line that wraps could not be taken back.
	if len(line) >= columns {
		line = append(line[:max(columns-2, 0)], '…')
	}
	erase()
	fmt.Fprint(os.Stderr, string(line))
	screen.fleeing = true
}

// clear takes back a message that is to be replaced.
func clearFleeting() {
	screen.mu.Lock()
	defer screen.mu.Unlock()
	erase()
}

func erase() {
	if screen.fleeing {
		fmt.Fprint(os.Stderr, eraser)
		screen.fleeing = false
	}
}

// plain makes what others have written harmless on a terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
