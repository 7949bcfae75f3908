package main

// The manual is the one place that says what dlock can do. The parser reads it,
// and so do the help, the man page, the completions and the tables of the README.

// A subcommand is the first argument of dlock.
type subcommand struct {
	name     string
	operands string // as in a synopsis
	text     []string
	options  []option
	examples []example
}

// An option is a flag. What it sets is nil for a switch of help.
type option struct {
	short  string // one letter, several that mean the same, or ""
	long   string
	value  string   // what it is called in a synopsis, or "" for a switch
	values []string // what it may be, if that is a few words
	text   string   // its first sentence serves alone where there is little room
	idle   bool     // it changes nothing
	set    func(j *job, value string) error
}

// An example is a command line and what it is for.
type example struct{ line, text string }

// A status is an exit code.
type status struct{ code, text string }

const (
	tagline  = "runs commands under locks that hold across processes and machines"
	overview = "A lock has a name and is kept by a store: a directory, or a server. Whoever names the same lock in the same store waits for the others, first come, first served."
)

var urlOption = option{
	long: "url", value: "URL",
	text: "The store that keeps the lock. file:///DIR and file:RELATIVE/DIR are directories; redis://HOST:PORT, or a quorum of several with commas between them, and postgres://USER@HOST/DB are servers; memory: is the process itself, for trying things out. Command-line flags are visible to other users; put a URL with a password in $DLOCK_URL. Without the flag, $DLOCK_URL names the store, and without that it is .local/state/dlock in the user's home directory (AppData\\Local\\dlock on Windows).",
	set:  (*job).setURL,
}

var namespaceOption = option{
	long: "namespace", value: "NAMESPACE",
	text: "The namespace of the lock: that of WithNamespace in Go programs that use the dlock library. Locks of one name in two namespaces are two locks. Without the flag it is $DLOCK_NAMESPACE, and without that there is none, which \"\" stands for, too.",
	set:  func(j *job, s string) error { j.namespace = s; return nil },
}

var nameOption = option{
	long: "name", value: "NAME",
	text: "The name of the lock, in place of the argument. It is for a name that begins with a dash.",
	set:  (*job).setName,
}

var mutexOption = option{
	long: "mutex",
	text: "Take the mutex. It is for sharing with Go programs that use Mutex(NAME) of the library.",
	set:  func(j *job, _ string) error { j.mutex = true; return nil },
}

var jsonOption = option{
	long: "json",
	text: "Print JSON. Tokens are strings in it, for they are greater than many readers' numbers.",
	set:  func(j *job, _ string) error { j.json = true; return nil },
}

var helpOption = option{
	short: "h", long: "help",
	text: "Print what the subcommand does.",
	set:  func(*job, string) error { return errHelp },
}

var subcommands = []subcommand{{
	name:     "run",
	operands: "[FLAG…] NAME -- COMMAND…",
	text: []string{
		"Wait for the lock NAME, run COMMAND while holding it, give it back, and exit as COMMAND did.",
		"Without -s the lock is exclusive. The lock, the slots (--slots) and the mutex (--mutex) of one name are three locks that have nothing to do with each other. They are the RWMutex, the Semaphore and the Mutex of that name in Go programs that use the dlock library.",
		"COMMAND has a process group of its own, the terminal if dlock has it, and in its environment DLOCK_NAME, DLOCK_HELD, by which a dlock inside of it knows what it must not wait for, and DLOCK_TOKEN, the fencing token: a number that grows with each exclusive holder, so that a resource can reject a stale one. TRACEPARENT is passed on as it is.",
		"INT, TERM, HUP, QUIT, USR1, USR2, TSTP, CONT and WINCH go to the process group of COMMAND; what is typed on a terminal comes once. While dlock still waits they do what they always do, and its place in the queue is free.",
		"When the lock is lost, or cannot be renewed, the process group is told to end before somebody else can have the lock: see --on-lost. Where dlock itself is killed, also by KILL, what is left of the process group is killed at once, unless --on-lost is ignore. Processes that have left the process group are on their own, and so are those that COMMAND leaves behind in the background when it ends, unless --wait-children is given. Nor can a dlock act that is itself stopped by STOP.",
		"On Windows the process group is a job object. There is no way to ask it to end, so term does what kill does, and the console itself sends its events to COMMAND.",
	},
	options: []option{
		urlOption,
		namespaceOption,
		nameOption,
		{
			short: "s", long: "shared",
			text: "Share the lock with all who take it with -s. It is the read lock: while somebody waits for the lock without -s, no new one comes in.",
			set:  func(j *job, _ string) error { j.shared = true; return nil },
		},
		{
			long: "slots", value: "N",
			text: "Take one of N slots. At most N commands run at a time. While others use the slots of NAME with another N, dlock waits until nobody does; with -n it exits with 64.",
			set:  (*job).setSlots,
		},
		mutexOption,
		{
			short: "n", long: "nonblock",
			text: "Do not wait. Exit with 75 when the lock is held or others wait for it, and with 69 when the store has not answered within 2s.",
			set:  func(j *job, _ string) error { j.try = true; return nil },
		},
		{
			short: "w", long: "timeout", value: "DURATION",
			text: "Wait no longer than that, from the start of dlock on, for the store and the lock. It is written 500ms, 10s or 1h30m, and a bare number is in seconds. Then exit with 75. 0 is -n.",
			set:  (*job).setWait,
		},
		{
			short: "E", long: "conflict-exit-code", value: "N",
			text: "Exit with N in place of 75. It needs -n or -w.",
			set:  (*job).setConflict,
		},
		{
			short: "xe", long: "exclusive", idle: true,
			text: "Change nothing. It is there for users of flock(1): without -s the lock is exclusive.",
			set:  func(*job, string) error { return nil },
		},
		{
			short: "o", long: "close", idle: true,
			text: "Change nothing. It is there for users of flock(1): no command inherits the lock.",
			set:  func(*job, string) error { return nil },
		},
		{
			long: "ttl", value: "DURATION",
			text: "How long the store keeps the lock when it does not hear from dlock. It matters in stores with leases, such as Redis; the default is 10s, the least 100ms.",
			set:  (*job).setTTL,
		},
		{
			long: "on-lost", value: "ACTION", values: []string{"term", "kill", "ignore"},
			text: "What is done to the command when the lock is lost. term, the default, sends TERM, and KILL when the grace is over; kill sends KILL at once; ignore only says so. In a store with leases term acts before the loss, when the lease has not been renewed: TERM comes the grace before the deadline, and KILL at the deadline. After term and kill dlock exits with 121.",
			set:  (*job).setOnLost,
		},
		{
			long: "grace", value: "DURATION",
			text: "The time between TERM and KILL when the lock is lost. The default is a third of --ttl, and the most is a half of it: between renewals less of a lease may be left.",
			set:  func(j *job, s string) error { return setDuration(&j.grace, s) },
		},
		{
			long: "at-least", value: "DURATION",
			text: "Keep the lock that long, from when dlock got it, although the command has ended. dlock stays until then and exits as the command did, or at once on INT or TERM. So a job that several hosts start at about the same time, as cron does, runs once: with -n, and with more than their clocks differ.",
			set:  func(j *job, s string) error { return setDuration(&j.atLeast, s) },
		},
		{
			long: "wait-children",
			text: "Hold the lock until the last child of COMMAND has ended, too, as flock(1) does: until nobody has a certain pipe open any more, which COMMAND inherits as descriptor 3 and its children from it. A child that closes it is not waited for. It is not for Windows.",
			set:  func(j *job, _ string) error { j.waitChildren = true; return nil },
		},
		{
			long: "reason", value: "TEXT",
			text: "Why the lock is held or awaited, shown to others by status and inspect.",
			set:  (*job).setReason,
		},
		{
			short: "q", long: "quiet",
			text: "Print only errors. The exit code says whether the lock was acquired.",
			set:  func(j *job, _ string) error { j.quiet = true; return nil },
		},
		{
			short: "v", long: "verbose",
			text: "Print progress: whom dlock waits for, which it prints on a terminal anyway, and when it has the lock.",
			set:  func(j *job, _ string) error { j.verbose = true; return nil },
		},
		helpOption,
	},
	examples: []example{
		{"dlock run backup -- ./backup.sh", "one at a time"},
		{"dlock run -n --reason 'nightly export' export -- ./export", "or not at all"},
		{"dlock run -w 10s -E 0 cleanup -- ./cleanup", "give up after ten seconds, and call that a success"},
		{"dlock run --slots 3 encode -- ffmpeg -i in.mov out.mp4", "three at a time"},
		{"dlock run -n --at-least 1m job -- ./job", "from cron on several hosts, whose clocks differ by less"},
		{"dlock run -s site -- ./publish", "together with other readers, but not with a writer"},
	},
}, {
	name:     "status",
	operands: "[--url URL] [--namespace NAMESPACE] [--json] NAME",
	text: []string{
		"Say in a line whether the lock NAME is free, or who holds it and how many wait. The mutex and the slots of that name have lines of their own when they are in use.",
		"It exits with 0 when all of them are free and with 75 when one is held or awaited. That is out of date at once: what is to happen under the lock needs dlock run -n.",
	},
	options: []option{urlOption, namespaceOption, nameOption, jsonOption, helpOption},
	examples: []example{
		{"dlock status backup && echo nobody is at it", "by the exit code"},
	},
}, {
	name:     "inspect",
	operands: "[--url URL] [--namespace NAMESPACE] [--json] NAME",
	text: []string{
		"List all who hold the locks of NAME and all who wait for them, in order: host, process, for how long, fencing token, and the reason that they gave. Who takes part without dlock, as by flock(1), may have no more than a line.",
		"It exits with 0 whether there is somebody or not.",
	},
	options: []option{urlOption, namespaceOption, nameOption, jsonOption, helpOption},
	examples: []example{
		{"dlock inspect --json backup | jq -r '.holders[].host'", "for programs"},
	},
}, {
	name:     "path",
	operands: "[--url URL] [--namespace NAMESPACE] [--mutex] NAME",
	text: []string{
		"Print the file that is locked for the lock NAME in a directory, for flock(1) and its like.",
		"Who locks that file holds the lock, with flock -s the read lock. He has no place in the queue and comes in when he can.",
	},
	options: []option{urlOption, namespaceOption, nameOption, mutexOption, helpOption},
	examples: []example{
		{"flock \"$(dlock path backup)\" ./backup.sh", "from a script that has always used flock"},
	},
}, {
	name:     "completion",
	operands: "bash|zsh|fish",
	text: []string{
		"Print a script by which the shell completes subcommands and flags of dlock, and the command that it runs.",
	},
	options: []option{helpOption},
	examples: []example{
		{"source <(dlock completion bash)", "in ~/.bashrc"},
		{"source <(dlock completion zsh)", "in ~/.zshrc, after compinit"},
		{"dlock completion fish >~/.config/fish/completions/dlock.fish", "once"},
	},
}, {
	name:     "help",
	operands: "[SUBCOMMAND|man]",
	text: []string{
		"Print an overview, what a subcommand does, or the whole manual as a man page.",
	},
	options: []option{helpOption},
	examples: []example{
		{"dlock help man | man -l -", "to read"},
	},
}, {
	name:    "version",
	text:    []string{"Print the version."},
	options: []option{helpOption},
}}

var statuses = []status{
	{"that of the command", "it ran"},
	{"1", "dlock failed in another way than these"},
	{"64", "usage error, --slots with -n differs from the current holders' value, or dlock would wait for the dlock that runs it"},
	{"69", "the store is out of reach, has not answered in time (-n), or refuses or cannot do what was asked"},
	{"75", "the lock is held (-n) or was not acquired in time (-w), unless -E gives another code; of status: it is held or awaited"},
	{"121", "the lock was lost while the command ran, or not renewed, so that the command had to end; also when only its release found that out"},
	{"126", "the command cannot be executed"},
	{"127", "the command was not found"},
	{"128 + N", "signal N ended the command, or dlock while it waited"},
}

// find returns the subcommand of a name.
func find(name string) (*subcommand, bool) {
	for i := range subcommands {
		if subcommands[i].name == name {
			return &subcommands[i], true
		}
	}
	return nil, false
}
