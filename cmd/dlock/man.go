package main

import (
	"strings"
)

// manPage returns the manual in the language of man(7).
func manPage() string {
	var b strings.Builder
	line := func(s ...string) { b.WriteString(strings.Join(s, " ") + "\n") }
	line(".TH DLOCK 1 \"\" \"dlock\" \"User Commands\"")
	line(".SH NAME")
	line("dlock \\- " + roff(tagline))
	line(".SH SYNOPSIS")
	for i, c := range subcommands {
		if i > 0 {
			line(".br")
		}
		line(".B dlock "+c.name, "\n"+roff(c.operands))
	}
	line(".SH DESCRIPTION")
	line(roff(overview))
	for _, c := range subcommands {
		line(".SH", strings.ToUpper(c.name))
		for _, t := range c.text {
			line(".PP")
			line(roff(t))
		}
		for _, o := range c.options {
			line(".TP")
			line("\\fB" + roff(o.flags()) + "\\fR")
			line(roff(o.text))
		}
	}
	line(".SH EXIT STATUS")
	for _, s := range statuses {
		line(".TP")
		line(roff(s.code))
		line(roff(s.text))
	}
	line(".SH ENVIRONMENT")
	line(".TP")
	line(urlVariable)
	line("The store, where there is no \\-\\-url.")
	line(".TP")
	line(namespaceVariable)
	line("The namespace, where there is no \\-\\-namespace.")
	line(".SH EXAMPLES")
	for _, c := range subcommands {
		for _, e := range c.examples {
			line(".TP")
			line("\\fB" + roff(e.line) + "\\fR")
			line(roff(e.text))
		}
	}
	return b.String()
}

var roffEscapes = strings.NewReplacer("\\", "\\e", "-", "\\-", "…", "\\&...", "'", "\\(aq")

// roff makes text harmless. No line of it begins with a dot or a quote, which
// would make it a request.
func roff(text string) string {
	if strings.HasPrefix(text, ".") {
		return "\\&" + roffEscapes.Replace(text)
	}
	return roffEscapes.Replace(text)
}
