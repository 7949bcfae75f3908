# Every target works on a bare Debian machine with Go, git and make.

# What the tests need beside Go, as a command to look for, a colon, and the Debian
# packages that bring it, with commas between. The race detector needs a C
# compiler, the drivers the servers that they are for.
NEEDS := $(firstword $(shell go env CC)):gcc,libc6-dev redis-server:redis-server postgres:postgresql pgbouncer:pgbouncer

# Where Debian keeps servers that are not on everybody's PATH.
SERVERS := /usr/sbin $(wildcard /usr/lib/postgresql/*/bin)

# It is run by its version and not from go.mod, which is for what programs link.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Systems that the code builds for beside the one it is tested on.
PLATFORMS := windows/amd64 darwin/arm64 linux/386

# What runs as Windows programs. The suite for clients, ./dlocktest, does too, but
# takes its time.
WINDOWS := . ./coordinator ./session ./backend ./backend/memory ./backend/file

# A program under the race detector sleeps for a second before it ends, and the tests
# are hundreds of programs.
RACE := atexit_sleep_ms=50

# A third of what the tests compute was the collection of garbage that is small.
export GOGC ?= 400

# How many tests of a package run at a time. Most of them wait for something: there
# are to be more than processors, and not so many that they wait for one. The packages
# of the DRIVERS take longest and begin first, with one more beside them than there
# are processors.
PARALLEL := 6

FUZZTIME := 30s
BENCH := .
COUNT := 20
DRIVERS := redis postgres

# What was built for one clone is good for the next. Tests run each time.
export GOFLAGS := -trimpath $(GOFLAGS)

.DEFAULT_GOAL := help
.NOTPARALLEL:

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the command as bin/dlock
	go build -o bin/dlock ./cmd/dlock

.PHONY: test
test: needs format vet staticcheck race test-windows platforms bench-short chaos-short ## run all checks and all tests

.PHONY: format
format: ## check that the code is formatted
	@unformatted=$$(gofmt -l .) && if [ -n "$$unformatted" ]; then \
		echo "gofmt these files:" $$unformatted >&2; exit 1; \
	fi

.PHONY: vet
vet: ## run go vet
	go vet ./...

.PHONY: staticcheck
staticcheck: ## run staticcheck
	go run $(STATICCHECK) ./...

.PHONY: race
race: ## run the tests under the race detector, and name the slowest
	CGO_ENABLED=1 GORACE="$(RACE) $$GORACE" go run ./internal/gotest -race -count 1 -p 3 -parallel $(PARALLEL) $(DRIVERS:%=./backend/%) ./...

.PHONY: soak
soak: needs ## run the tests of the DRIVERS, memory and file with COUNT seeds from SEED on, with all that takes long
	@set -e; for seed in $$(seq $(or $(SEED),1) $$(($(or $(SEED),1) + $(COUNT) - 1))); do \
		echo "seed $$seed"; \
		DLOCK_LONG=1 CGO_ENABLED=1 GORACE="$(RACE) $$GORACE" go test -race -count 1 -timeout 1h -parallel $(PARALLEL) $(DRIVERS:%=./backend/%) -args -seed $$seed -dlocktest.seed $$seed; \
		DLOCK_LONG=1 CGO_ENABLED=1 go test -race -count 1 -timeout 1h ./backend/memory ./backend/file -args -seed $$seed; \
		DLOCK_LONG=1 go test -count 1 -timeout 1h ./backend/redis/internal/quorum/vote; \
	done

.PHONY: test-windows
test-windows: ## run the tests of the core and of file as Windows programs, where wine is; WINDOWS selects packages
	@internal/wine/test.sh $(WINDOWS)

.PHONY: platforms
platforms: ## vet and build for the other systems
	@set -e; for platform in $(PLATFORMS); do \
		echo "vet and build for $$platform"; \
		GOOS=$${platform%/*} GOARCH=$${platform#*/} go vet ./...; \
		GOOS=$${platform%/*} GOARCH=$${platform#*/} go build ./...; \
	done

# The harness is a module of its own: nothing that it needs is asked of those who
# use the library.
.PHONY: chaos
chaos: needs ## hunt for violations by real faults, and write chaos/report.md; BACKEND, PRIMITIVE, SEED, DURATION, FAULTS, PROCESSES, GOROUTINES, NAMES select and repeat
	cd chaos && go run . -out . -backend '$(BACKEND)' -primitive '$(PRIMITIVE)' -faults '$(FAULTS)' $(if $(SEED),-seed $(SEED)) $(if $(DURATION),-duration $(DURATION)) $(if $(PROCESSES),-processes $(PROCESSES)) $(if $(GOROUTINES),-goroutines $(GOROUTINES)) $(if $(NAMES),-names $(NAMES))

.PHONY: chaos-selftest
chaos-selftest: needs ## see whether the harness finds bugs that are put in on purpose; BACKEND, BUG select
	cd chaos && go run . -selftest -out . -backend '$(BACKEND)' -bug '$(BUG)' -duration $(or $(DURATION),32s)

.PHONY: chaos-short
chaos-short: ## vet the harness, and let it run for two times 12 s on each backend
	cd chaos && go vet ./... && go run $(STATICCHECK) ./... && go test -timeout 10m -parallel 3 ./...

.PHONY: bench
bench: needs ## measure beside other libraries, for bench/report.md, in about 19 minutes; QUICK=1 takes about two
	go run -C bench . $(if $(QUICK),-quick)

.PHONY: bench-short
bench-short: ## vet and test what measures
	cd bench && go vet ./... && go run $(STATICCHECK) ./... && go test ./...

.PHONY: microbench
microbench: ## run the Go benchmarks; BENCH selects some of them
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

# go test fuzzes one target at a time.
.PHONY: fuzz
fuzz: ## run each fuzz test for FUZZTIME
	@set -e; for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | sed 's|/[^/]*$$||' | sort -u); do \
		for target in $$(go test -list '^Fuzz' "$$dir" | grep '^Fuzz'); do \
			echo "$$target in $$dir"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$dir"; \
		done; \
	done

.PHONY: model
model: NEEDS := spin:spin gcc:gcc,libc6-dev
model: needs ## check the protocol of the quorum with a model checker, and that it finds breaks
	@backend/redis/internal/quorum/model/check.sh

# A policy that refuses keeps Debian from starting the servers that it installs.
.PHONY: needs
needs: ## install what the tests need, on Debian as root, or say what is missing
	@missing=; path="$$PATH:$$(echo $(SERVERS) | tr ' ' :)"; for need in $(NEEDS); do \
		PATH="$$path" command -v "$${need%%:*}" >/dev/null || missing="$$missing $$(echo "$${need#*:}" | tr , ' ')"; \
	done; \
	if [ -z "$$missing" ]; then \
		:; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		set -e; \
		policy=/usr/sbin/policy-rc.d; \
		if [ ! -e $$policy ]; then \
			trap "rm -f $$policy" EXIT; \
			printf '#!/bin/sh\nexit 101\n' >$$policy; chmod +x $$policy; \
		fi; \
		apt-get -qq update; \
		DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $$missing; \
	else \
		echo "the tests need these Debian packages, or their like:$$missing" >&2; exit 1; \
	fi
