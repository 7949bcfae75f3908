#!/bin/sh
# Checks the model of the quorum with spin: what it promises, for all that can happen within
# bounds, and that each of the breaks is found. The way to an error is printed.
set -eu
model=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# run NAME DEFINES... checks one variant and leaves spin's report in $dir/NAME.
run() {
	name=$1
	shift
	mkdir "$dir/$name.d"
	(
		cd "$dir/$name.d"
		spin -a -o3 "$@" "$model/quorum.pml"
		cc -O2 -DSAFETY -DNOFAIR -DNOREDUCE -DMEMLIM=8000 -I"$model" -o pan pan.c
		./pan -E -m200000 -w26
	) >"$dir/$name" 2>&1
}

# report NAME tells how many states were looked at in which time, and returns whether there
# was an error. What did not end is one of the checker.
report() {
	grep -q '^pan: elapsed' "$dir/$1" && ! grep -q 'Search not completed' "$dir/$1" || grep -q 'assertion violated' "$dir/$1" || {
		cat "$dir/$1"
		exit 1
	}
	states=$(awk '/states, stored/ {print $1}' "$dir/$1")
	time=$(awk '/elapsed time/ {print $4}' "$dir/$1")
	printf '%11s states in %5.1f s: ' "$states" "$time"
	grep -q 'assertion violated' "$dir/$1"
}

failed=0
right() {
	name=$1
	run "$@"
	printf '%-58s' "tokens, restarts, ends of epochs: $(echo "$*" | tr -dc '0-9 ' | tr -s ' ')"
	if report "$name"; then
		echo "BROKEN"
		(cd "$dir/$name.d" && ./pan -C quorum.pml.trail | grep -A3 '^client')
		failed=1
	else
		echo "nothing is broken"
	fi
}

broken() {
	name=$1 what=$2
	shift 2
	run "$name" "-D$name" "$@"
	printf '%-58s' "$what"
	if report "$name"; then
		echo "found"
	else
		echo "NOT FOUND"
		failed=1
	fi
}

broken NO_QUARANTINE "a node votes at once after it has lost its data" -DTOKENS=2 -DRESTARTS=1 -DENDS=0
broken NO_FLOOR "it forgets which tokens it has given" -DTOKENS=2 -DRESTARTS=1 -DENDS=1
broken NO_FENCE "no release behind a vote without an answer" -DTOKENS=2 -DRESTARTS=0 -DENDS=0
broken AFTER_ANSWER "a deadline counts from after the answer" -DTOKENS=2 -DRESTARTS=0 -DENDS=1
broken REVIVE "a hold goes on after its deadline, as after a sleep" -DTOKENS=2 -DRESTARTS=0 -DENDS=2
broken NO_AGE "a vote wins however old it is" -DTOKENS=2 -DRESTARTS=1 -DENDS=1
right a -DTOKENS=3 -DRESTARTS=0 -DENDS=0
right b -DTOKENS=3 -DRESTARTS=1 -DENDS=0
right c -DTOKENS=2 -DRESTARTS=0 -DENDS=2
right d -DTOKENS=2 -DRESTARTS=1 -DENDS=1
exit $failed
