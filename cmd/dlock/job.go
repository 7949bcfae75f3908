package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// The actions of --on-lost.
const (
	onLostTerm   = "term"
	onLostKill   = "kill"
	onLostIgnore = "ignore"
)

// The bounds of flags.
const (
	defaultTTL  = 10 * time.Second
	shortestTTL = 100 * time.Millisecond
	mostSlots   = 1<<31 - 1
	longReason  = 1 << 10
)

// A job is what dlock was called for.
type job struct {
	url          string    // of the store; empty for the default
	store        string    // what it calls itself
	name         string    // of the lock
	namespace    string    // of the name; empty for none
	begin        time.Time // when dlock was called
	command      []string
	shared       bool
	mutex        bool
	slots        int // 0 for none
	try          bool
	wait         time.Duration // for the lock; 0 is for as long as it takes
	conflict     *int          // the exit code in place of exitBusy
	ttl          time.Duration
	onLost       string
	grace        time.Duration // 0 for the default
	reason       string
	atLeast      time.Duration // for which the lock is kept
	waitChildren bool          // of the command
	ancestors    []ancestor    // the dlocks that run this one
	quiet        bool
	verbose      bool
	json         bool
}

// parseJob reads the arguments of a subcommand that is about a lock.
func (c *subcommand) parseJob(args []string) (*job, error) {
	j := &job{
		url: os.Getenv(urlVariable), namespace: os.Getenv(namespaceVariable),
		begin: time.Now(), ancestors: ancestors(os.Getenv(heldVariable)), ttl: defaultTTL, onLost: onLostTerm,
	}
	operands, command, err := c.parse(j, args)
	if err != nil {
		return nil, err
	}
	j.command = command
	if j.name != "" {
		operands = append([]string{j.name}, operands...)
	}
	switch {
	case len(operands) == 0 || operands[0] == "":
		return nil, fmt.Errorf("%s needs the name of a lock", c.name)
	case c.name != "run" && (len(operands) > 1 || command != nil):
		return nil, fmt.Errorf("%s takes one name and nothing else", c.name)
	case c.name != "run":
	// Without the mark a forgotten name would turn the command into one.
	case command == nil:
		return nil, errors.New("run needs -- between the name and the command")
	case len(operands) > 1:
		return nil, fmt.Errorf("run takes one name: %q is one too many", operands[1])
	case len(command) == 0:
		return nil, errors.New("run needs a command behind --")
	}
	j.name = operands[0]
	return j, j.complete()
}

// complete checks what flags say together, and fills in what depends on them.
func (j *job) complete() error {
	switch {
	case j.shared && j.slots > 0, j.shared && j.mutex, j.slots > 0 && j.mutex:
		return errors.New("-s, --slots and --mutex exclude each other: they are ways to take different locks")
	case j.try && j.wait > 0:
		return errors.New("-n and -w exclude each other")
	case j.conflict != nil && !j.try && j.wait == 0:
		return errors.New("-E makes no sense without -n or -w: dlock waits for as long as it takes")
	case j.waitChildren && runtime.GOOS == "windows":
		return errors.New("--wait-children is not for Windows")
	case j.quiet && j.verbose:
		return errors.New("-q and -v exclude each other")
	case j.grace > 0 && j.onLost != onLostTerm:
		return fmt.Errorf("--grace makes no sense with --on-lost=%s", j.onLost)
	case j.grace > j.ttl/2:
		return fmt.Errorf("--grace %v is more than half of --ttl, which is %v: as little may be left of a lease that is well", j.grace, j.ttl)
	}
	if j.grace == 0 {
		j.grace = j.ttl / 3
	}
	return nil
}

// resolve finds the store. It does not connect: its errors are those of the URL,
// and the caller's, but for a default that cannot be had.
func (j *job) resolve() (backend.Backend, exit) {
	if j.url == "" {
		url, err := defaultURL()
		if err != nil {
			return nil, exit{code: exitUnavailable, err: err}
		}
		j.url = url
	}
	store, err := fromURL(j.url)
	if err != nil {
		return nil, exit{code: exitUsage, err: err}
	}
	return store, exit{}
}

// class returns the class of the lock, as it stands in a dlock.Participant.
func (j *job) class() string {
	switch {
	case j.slots > 0:
		return backend.Semaphore.String()
	case j.mutex:
		return backend.Mutex.String()
	}
	return backend.RWMutex.String()
}

func (j *job) setURL(s string) error {
	if s == "" {
		return errors.New("it is empty")
	}
	j.url = s
	return nil
}

func (j *job) setName(s string) error {
	if s == "" {
		return errors.New("it is empty")
	}
	j.name = s
	return nil
}

// setWait makes of a wait of zero a try, as flock(1) does.
func (j *job) setWait(s string) error {
	if d, err := strconv.ParseFloat(strings.TrimSuffix(s, "s"), 64); err == nil && d == 0 {
		j.try = true
		return nil
	}
	return setDuration(&j.wait, s)
}

func (j *job) setSlots(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > mostSlots {
		return fmt.Errorf("not a number from 1 to %d", mostSlots)
	}
	j.slots = n
	return nil
}

func (j *job) setConflict(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 255 {
		return errors.New("not an exit code from 0 to 255")
	}
	j.conflict = &n
	return nil
}

func (j *job) setTTL(s string) error {
	if err := setDuration(&j.ttl, s); err != nil {
		return err
	}
	if j.ttl < shortestTTL {
		return fmt.Errorf("less than %v", shortestTTL)
	}
	return nil
}

func (j *job) setOnLost(s string) error {
	if s != onLostTerm && s != onLostKill && s != onLostIgnore {
		return errors.New("not one of term, kill and ignore")
	}
	j.onLost = s
	return nil
}

func (j *job) setReason(s string) error {
	if len(s) > longReason {
		return fmt.Errorf("%d bytes are more than %d", len(s), longReason)
	}
	j.reason = s
	return nil
}

// setDuration reads a duration that is not zero. A bare number is in seconds, as
// that of flock(1).
func setDuration(d *time.Duration, s string) error {
	unit := ""
	if strings.Trim(s, "0123456789.") == "" {
		unit = "s"
	}
	v, err := time.ParseDuration(s + unit)
	if err != nil || v <= 0 {
		return errors.New("not a duration such as 500ms, 10s or 1h30m")
	}
	*d = v
	return nil
}
