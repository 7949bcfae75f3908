package main

import (
	"fmt"
	"slices"
	"strings"
)

// width is that of the help, on terminals of any size.
const width = 80

// overviewText is what dlock help prints.
func overviewText() string {
	var b strings.Builder
	fmt.Fprintf(&b, "dlock %s.\n\n", tagline)
	b.WriteString(fill(overview, 0) + "\n")
	for _, c := range subcommands {
		b.WriteString(entry(c.name, firstSentence(c.text[0]), 14))
	}
	b.WriteString("\ndlock help SUBCOMMAND tells more. To begin with, run this in two terminals:\n\n" +
		"  dlock run demo -- sleep 10\n\n")
	b.WriteString("The most usual flags of run:\n\n")
	run, _ := find("run")
	for _, o := range run.options {
		if o.short != "" && !o.idle {
			b.WriteString(entry(o.flags(), firstSentence(o.text), 28))
		}
	}
	b.WriteString("\n" + statusText())
	return b.String()
}

// helpText is what dlock help prints of a subcommand.
func (c *subcommand) helpText() string {
	var b strings.Builder
	b.WriteString(strings.TrimRight("dlock "+c.name+" "+c.operands, " ") + "\n")
	for _, t := range c.text {
		b.WriteString("\n" + fill(t, 0))
	}
	b.WriteString("\nFlags:\n\n")
	for _, o := range c.options {
		b.WriteString("  " + o.flags() + "\n" + fill(o.text, 6))
	}
	if len(c.examples) > 0 {
		b.WriteString("\nExamples:\n\n")
		for _, e := range c.examples {
			b.WriteString("  " + e.line + "\n      " + e.text + "\n")
		}
	}
	if c.name == "run" || c.name == "status" {
		b.WriteString("\n" + statusText())
	}
	return b.String()
}

func statusText() string {
	var b strings.Builder
	b.WriteString("Exit codes:\n\n")
	for _, s := range statuses {
		b.WriteString(entry(s.code, s.text, 24))
	}
	return b.String()
}

// letters returns the short forms of an option.
func (o *option) letters() []string {
	if o.short == "" {
		return nil
	}
	return strings.Split(o.short, "")
}

// flags returns the forms of an option, as in "-w, --timeout DURATION".
func (o *option) flags() string {
	s := "--" + o.long
	for _, letter := range slices.Backward(o.letters()) {
		s = "-" + letter + ", " + s
	}
	if len(o.values) > 0 {
		return s + " " + strings.Join(o.values, "|")
	}
	if o.value != "" {
		s += " " + o.value
	}
	return s
}

// entry lays out a term and what is said of it in two columns.
func entry(term, text string, column int) string {
	lines := strings.SplitAfter(fill(text, column), "\n")
	head := "  " + term
	if n := column - 1; len([]rune(head)) <= n {
		lines[0] = head + lines[0][len([]rune(head)):]
	} else {
		lines = append([]string{head + "\n"}, lines...)
	}
	return strings.Join(lines, "")
}

// fill breaks text into indented lines.
func fill(text string, indent int) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		n := len([]rune(word))
		switch {
		case column == 0:
			b.WriteString(strings.Repeat(" ", indent))
			column = indent
		case column+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String() + "\n"
}

// firstSentence returns the beginning of a text, without its full stop.
func firstSentence(text string) string {
	first, _, _ := strings.Cut(text, ". ")
	return strings.TrimSuffix(first, ".")
}
