package main

import (
	"fmt"
	"strings"
)

// optionTable returns the flags of a subcommand as they stand in the README.
func (c *subcommand) optionTable() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| flag of `%s` | |\n|---|---|\n", c.name)
	for _, o := range c.options {
		fmt.Fprintf(&b, "| `%s` | %s |\n", cell(o.flags()), cell(o.text))
	}
	return b.String()
}

// statusTable returns the exit codes as they stand in the README.
func statusTable() string {
	var b strings.Builder
	b.WriteString("| exit code | |\n|---|---|\n")
	for _, s := range statuses {
		fmt.Fprintf(&b, "| %s | %s |\n", cell(s.code), cell(s.text))
	}
	return b.String()
}

// cell makes text fit for a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }
