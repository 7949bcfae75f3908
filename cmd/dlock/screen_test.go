package main

import "testing"

// Messages of the library are said in the words of the flags, and names are left alone.
func TestInWords(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		`dlock: acquire rwmutex "demo" on file:///x: denied`: `dlock: acquire lock "demo" on file:///x: denied`,
		`tryacquire semaphore "rwmutex " on file:///x`:       `acquire slot "rwmutex " on file:///x`,
		`release mutex "demo"`:                               `release mutex "demo"`,
		`inspect mutex "demo" on file:///x`:                  `inspect "demo" on file:///x`,
		`release not confirmed yet class=rwmutex name=demo`:  `release not confirmed yet class=lock name=demo`,
		`open /x/demo-00.rwmutex: no such file`:              `open /x/demo-00.rwmutex: no such file`,
		`semaphore in use with another limit: 2, not 4`:      `slots in use with another number: 2, not 4`,
	} {
		if got := inWords(message); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
