package dlock

import (
	"reflect"
	"runtime"
)

// running reports whether the calling goroutine is in a call of a function: whether
// one that the program passed to dlock has come back to it, say.
func running(function any) bool {
	name := runtime.FuncForPC(reflect.ValueOf(function).Pointer()).Name()
	stack := make([]uintptr, 64)
	n := runtime.Callers(1, stack)
	for n == len(stack) {
		stack = make([]uintptr, 2*n)
		n = runtime.Callers(1, stack)
	}
	frames := runtime.CallersFrames(stack[:n])
	for more := n > 0; more; {
		var f runtime.Frame
		if f, more = frames.Next(); f.Function == name {
			return true
		}
	}
	return false
}
