#!/bin/sh
# test.sh PACKAGE…: go test -short for Windows, under wine. It takes what go test
# takes. Without wine and mingw it says that it skipped the tests.
#
# It is a smoke test: wine is not Windows, and its files are those of this system.
set -eu

for tool in wine wineserver x86_64-w64-mingw32-gcc; do
	if ! command -v "$tool" >/dev/null; then
		echo "skipped the tests as Windows programs: $tool is not installed"
		exit 0
	fi
done

here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'wineserver -k || true; rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

ulimit -n "$(ulimit -Hn)" # a file of theirs is several of ours

# A Windows of their own, without Mono and a browser, which wine would ask for.
export WINEPREFIX="$scratch/prefix" WINEARCH=win64 WINEDEBUG=-all
export WINEDLLOVERRIDES='mscoree,mshtml=;bcryptprimitives=n'
wineboot --init >/dev/null 2>&1
wineserver --wait
x86_64-w64-mingw32-gcc -shared -O -o "$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll" \
	"$here/bcryptprimitives.c" -ladvapi32

# os.RemoveAll, by which tests clean up, takes wine's answer that it cannot remove
# files the new way for a failure. There is a switch for the old way in a package
# of Go's.
windows=$(go env GOROOT)/src/internal/syscall/windows/at_windows.go
sed 's/^var TestDeleteatFallback bool$/var TestDeleteatFallback = true/' "$windows" >"$scratch/at_windows.go"
grep -q '^var TestDeleteatFallback = true$' "$scratch/at_windows.go"
printf '{"Replace": {"%s": "%s"}}' "$windows" "$scratch/at_windows.go" >"$scratch/overlay.json"

# As long as a file is locked, wine keeps all descriptors of it that were closed. So
# it runs out of them where many locks are tried often.
hoards='TestHugeLimit|TestConformance/.*/semaphore/a_large_limit|TestFile/name/any_bytes/drained_semaphore|TestFile/semaphore/the_greatest_limit'
# Windows has no go command to list what is imported.
sources='TestImports|TestContractNeeds|TestNoClient|TestEveryPackage'
# Where all poll, thousands of turns take minutes. And without push
# there is one way to wait, which the local run has.
polls='TestProcessesCount|TestRemovalRaces|TestConformance/remote'
# Eight agree on a limit within 6 ms, in which wine opens a few files, and 20 000 places
# take it two minutes.
slow='TestNewLimit|TestConformance/.*/batch/20_000'

GOOS=windows GOARCH=amd64 CGO_ENABLED=0 go test -short -overlay "$scratch/overlay.json" -exec wine \
	-count 1 -p 1 -skip "$hoards|$sources|$polls|$slow" "$@"
