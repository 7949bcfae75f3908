#!/bin/sh
# Checks the model of the quorum with spin: that each break of the protocol is found, and
# that nothing is broken by anything that can happen within bounds. Two checks run at a
# time, of up to 5 GB each. Where something is broken that should not be, it prints the way
# there.
set -eu
model=$(cd "$(dirname "$0")" && pwd)

# check DIR BREAK TOKENS RESTARTS ENDS looks at all states, with a break or none, and leaves
# what spin says in DIR.
check() {
	work=$1/$2_$3$4$5
	mkdir "$work"
	cd "$work"
	{
		spin -a -o3 "-D$2" "-DTOKENS=$3" "-DRESTARTS=$4" "-DENDS=$5" "$model/quorum.pml"
		cc -O2 -DSAFETY -DNOFAIR -DNOREDUCE -DMEMLIM=8000 -I"$model" -o pan pan.c
		./pan -E -m200000 -w26
	} >out 2>&1 || true
}

if [ "${1:-}" = check ]; then
	shift
	check "$@"
	exit
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# A break, the highest token, how often a node loses its data, how many epochs end by time.
cat >"$dir/all" <<END
AS_PROMISED 2 1 1
AS_PROMISED 3 1 0
AS_PROMISED 2 0 2
NO_AGE 2 1 1
REVIVE 2 0 2
NO_FLOOR 2 1 1
AFTER_ANSWER 2 0 1
NO_QUARANTINE 2 1 0
NO_FENCE 2 0 0
AS_PROMISED 3 0 0
END
xargs -P 2 -L 1 "$0" check "$dir" <"$dir/all"

failed=0
while read -r break tokens restarts ends; do
	work=$dir/${break}_$tokens$restarts$ends
	case $break in
	NO_QUARANTINE) what="a node that has lost its data votes at once" ;;
	NO_FLOOR) what="it forgets which tokens it has given" ;;
	NO_FENCE) what="no release behind a vote without an answer" ;;
	AFTER_ANSWER) what="a deadline counts from after the answer" ;;
	REVIVE) what="a hold goes on after its deadline, as after a sleep" ;;
	NO_AGE) what="a vote wins however old it is" ;;
	*) what="as promised: $tokens tokens, $restarts restarts, $ends ends of epochs" ;;
	esac
	printf '%-57s' "$what"
	awk '/states, stored/ {states = $1} /elapsed time/ {printf "%11d states in %5.1f s: ", states, $4}' "$work/out"
	if grep -q 'assertion violated' "$work/out"; then
		echo "broken"
		[ "$break" != AS_PROMISED ] || {
			(cd "$work" && ./pan -C quorum.pml.trail | grep -A3 '^client')
			failed=1
		}
	elif grep -q 'errors: 0' "$work/out" && ! grep -q 'Search not completed' "$work/out"; then
		echo "never broken"
		[ "$break" = AS_PROMISED ] || failed=1
	else
		echo "not finished"
		cat "$work/out"
		failed=1
	fi
done <"$dir/all"
exit $failed
