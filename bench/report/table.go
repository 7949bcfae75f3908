package report

import (
	"strings"
	"unicode/utf8"

	"github.com/dlock-go/dlock/bench/contestant"
	"github.com/dlock-go/dlock/bench/run"
	"github.com/dlock-go/dlock/bench/stats"
	"github.com/dlock-go/dlock/bench/workload"
)

// Table is what was measured of one size, a contestant in a row: the medians of
// the rounds, and how the first figure compares to that of dlock on the same
// store, with its least and its greatest round.
func Table(w *workload.Workload, results run.Results) string {
	shown := w.Columns[:0:0]
	for _, c := range w.Columns {
		if has(results, c.Key) {
			shown = append(shown, c)
		}
	}
	head := []string{"store", ""}
	for i, c := range shown {
		head = append(head, c.Title)
		if i == 0 {
			head = append(head, "× dlock")
		}
	}
	rows := [][]string{head}
	var first *run.Result
	var store contestant.Store
	for _, r := range results {
		c := r.Of()
		row := []string{string(c.Store), title(c)}
		if c.Store == store {
			row[0] = ""
		} else {
			store, first = c.Store, nil
		}
		if first == nil && c.Role == contestant.Ours {
			first = r
		}
		if len(r.Rounds) == 0 {
			rows = append(rows, append(row, r.Failure))
			continue
		}
		for i, column := range shown {
			values := r.Values(column.Key)
			cell := format(stats.Median(values), column.Unit)
			if i > 0 {
				row = append(row, cell)
				continue
			}
			if len(values) > 1 {
				cell += " " + percent(stats.Spread(values))
			}
			row = append(row, cell, "")
			if first != nil && r != first {
				row[len(row)-1] = ranged(stats.Ratios(values, first.Values(column.Key)), workload.Number)
			}
		}
		if r.Failure != "" {
			row = append(row, r.Failure)
		}
		rows = append(rows, row)
	}
	return align(rows)
}

func has(results run.Results, key string) bool {
	for _, r := range results {
		if len(r.Values(key)) > 0 {
			return true
		}
	}
	return false
}

// title marks our own.
func title(c *contestant.Contestant) string {
	if c.Role == contestant.Ours || c.Role == contestant.Variant {
		return "**" + c.Title + "**"
	}
	return c.Title
}

// align writes rows as a table of Markdown that people can read as it is. Figures
// stand to the right, from the third column on.
func align(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for i, row := range rows {
		for c, width := range widths {
			cell := ""
			if c < len(row) {
				cell = row[c]
			}
			pad := strings.Repeat(" ", width-utf8.RuneCountInString(cell))
			if c < 2 {
				b.WriteString("| " + cell + pad + " ")
			} else {
				b.WriteString("| " + pad + cell + " ")
			}
		}
		b.WriteString("|\n")
		if i == 0 {
			for c, width := range widths {
				b.WriteString("|" + strings.Repeat("-", width+1))
				if c < 2 {
					b.WriteString("-")
				} else {
					b.WriteString(":")
				}
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}
