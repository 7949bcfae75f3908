package main

import (
	"os/exec"
	"testing"
)

// As the first process of a container, dlock buries orphans.
func TestReapsAsInit(t *testing.T) {
	t.Parallel()
	if err := exec.Command("unshare", "--pid", "--fork", "true").Run(); err != nil {
		t.Skipf("no containers here: %v", err)
	}
	s := newStore(t)
	const script = `
orphan=$(sh -c 'sleep 0.05 >/dev/null & echo $!')
for i in $(seq 200); do
	kill -0 $orphan 2>/dev/null || { echo buried; exit 5; }
	sleep 0.1
done
echo zombie`
	cmd := exec.Command("unshare", "--pid", "--fork", binary, "run", "--url", s.url(), "demo", "--", "sh", "-c", script)
	launch(t, cmd).exits(5, "buried\n")
}
