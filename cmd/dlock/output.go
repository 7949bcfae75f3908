package main

import (
	"encoding/json"
	"os"
	"strings"
)

// printText prints text and ends with e, if it can: what a script reads must not be
// half of it.
func printText(text string, e exit) exit {
	if _, err := os.Stdout.WriteString(text); err != nil {
		return exit{code: exitFailure, err: err}
	}
	return e
}

// printJSON prints v and ends with e, if it can.
func printJSON(v any, e exit) exit {
	var b strings.Builder
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(v); err != nil {
		return exit{code: exitFailure, err: err}
	}
	return printText(b.String(), e)
}
