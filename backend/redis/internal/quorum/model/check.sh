#!/bin/sh
# Checks the model of the quorum with spin: that nothing is broken by anything that can
# happen within bounds, and that each break of the protocol is found. Where something is
# broken that should not be, it prints the way there.
set -eu
model=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

# check WHAT BREAK TOKENS RESTARTS ENDS looks at all states, and prints how many there were.
# BREAK is part of the model's name in $dir. It is true if none of them is wrong.
check() {
	printf '%-57s' "$1"
	mkdir "$dir/$2"
	(
		cd "$dir/$2"
		spin -a -o3 "-D$2" "-DTOKENS=$3" "-DRESTARTS=$4" "-DENDS=$5" "$model/quorum.pml"
		cc -O2 -DSAFETY -DNOFAIR -DNOREDUCE -DMEMLIM=8000 -I"$model" -o pan pan.c
		./pan -E -m200000 -w26
	) >"$dir/$2/out" 2>&1 || true
	awk '/states, stored/ {states = $1} /elapsed time/ {printf "%11d states in %5.1f s  ", states, $4}' "$dir/$2/out"
	if grep -q 'assertion violated' "$dir/$2/out"; then
		return 1
	elif ! grep -q 'errors: 0' "$dir/$2/out" || grep -q 'Search not completed' "$dir/$2/out"; then
		cat "$dir/$2/out"
		exit 1
	fi
}

# right TOKENS RESTARTS ENDS expects that nothing is broken.
right() {
	if check "nothing: $1 tokens, $2 restarts, $3 ends of epochs" "NOTHING_$1$2$3" "$@"; then
		echo "as promised"
	else
		echo "BROKEN"
		(cd "$dir/NOTHING_$1$2$3" && ./pan -C quorum.pml.trail | grep -A3 '^client')
		failed=1
	fi
}

# wrong BREAK WHAT TOKENS RESTARTS ENDS expects that something is broken.
wrong() {
	if check "$2" "$1" "$3" "$4" "$5"; then
		echo "NOT FOUND"
		failed=1
	else
		echo "found"
	fi
}

echo "What is wrong with the protocol:"
wrong NO_QUARANTINE "a node that has lost its data votes at once" 2 1 0
wrong NO_FLOOR "it forgets which tokens it has given" 2 1 1
wrong NO_FENCE "no release behind a vote without an answer" 2 0 0
wrong AFTER_ANSWER "a deadline counts from after the answer" 2 0 1
wrong REVIVE "a hold goes on after its deadline, as after a sleep" 2 0 2
wrong NO_AGE "a vote wins however old it is" 2 1 1
right 3 0 0
right 3 1 0
right 2 0 2
right 2 1 1
exit $failed
