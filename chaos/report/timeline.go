package report

import (
	"fmt"
	"html"
	"io"
	"slices"
	"time"

	"github.com/dlock-go/dlock/chaos/check"
	"github.com/dlock-go/dlock/chaos/fault"
	"github.com/dlock-go/dlock/chaos/job"
	"github.com/dlock-go/dlock/chaos/run"
)

// Measures of the picture, in pixels.
const (
	left    = 120
	width   = 1280
	lane    = 7  // of a worker
	crowd   = 18 // of those who wait
	gutter  = 10
	label   = 13
	maxRows = 6 // of labels of faults
)

var colours = []string{"#3b6fb6", "#e08a2e", "#2f8f5b", "#a24a9c", "#7a6a53", "#4aa8b8"}

// HTML writes a page with the timeline of one run.
func HTML(w io.Writer, r *run.Result) {
	v := r.Verdict
	t := &timeline{w: w, run: r, spans: r.Run.Timeline()}
	title := fmt.Sprintf("%s, %s: %d grants, %d faults, %d losses, %d violations",
		r.Config.Store.Name, run.Primitive(r.Config.Class), v.Grants, len(r.Run.Faults), v.Losses, v.Violations())
	fmt.Fprintf(w, `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>chaos: %[1]s</title>
<style>
body { font: 14px/1.45 system-ui, sans-serif; margin: 24px; color: #222; background: #fff; max-width: %[2]dpx }
h1 { font-size: 20px } h2 { font-size: 16px; margin: 28px 0 4px } p { margin: 4px 0 10px }
svg { display: block; font: 11px system-ui, sans-serif; overflow: visible }
code { background: #f2f2f2; padding: 1px 4px }
.key span { display: inline-block; margin-right: 18px } .key i { display: inline-block; width: 22px; height: 9px; margin-right: 6px }
</style></head><body>
<h1>%[1]s</h1>
<p><code>%[3]s</code></p>
<p class="key">`, html.EscapeString(title), left+width+40, html.EscapeString(r.Replay()))
	for slot := range t.slots() {
		fmt.Fprintf(w, `<span><i style="background:%s"></i>worker %d holds</span>`, colours[slot%len(colours)], slot)
	}
	fmt.Fprint(w, `<span><i style="background:#bbb"></i>how many wait</span><span><i style="background:#d33;opacity:.25"></i>a fault</span><span style="color:#c00">▼ a hold is lost</span><span>✕ its process is killed</span></p>
<p>Each lock has a lane for each worker. A lane is as dark as the share of the time in which that worker held the lock; readers have a lighter shade than writers. Point at something to read more.</p>
`)
	begin, end := r.Run.Begin, r.Run.Drain
	fmt.Fprint(w, "<h2>The whole run</h2>")
	t.panel(begin, end)
	if f := t.worst(); f != nil {
		span := max(int64(2*time.Second), f.End-f.Begin+int64(1500*time.Millisecond))
		fmt.Fprintf(w, "<h2>One fault: %s</h2>", html.EscapeString(f.Kind))
		fmt.Fprintf(w, "<p>%s</p>", html.EscapeString(f.Effect))
		t.panel(f.Begin-span/5, f.Begin+span*4/5)
	}
	calm := begin + (r.Run.Calm-begin)/2
	fmt.Fprint(w, "<h2>50 ms without a fault, each holder to be seen</h2>")
	t.panel(calm, calm+int64(50*time.Millisecond))
	fmt.Fprint(w, "</body></html>\n")
}

// A timeline is the picture of one run.
type timeline struct {
	w     io.Writer
	run   *run.Result
	spans [][]check.Span
}

func (t *timeline) slots() int {
	n := 0
	for _, p := range t.run.Run.Processes {
		n = max(n, p.Slot+1)
	}
	return n
}

// worst returns the fault after which most was lost.
func (t *timeline) worst() *fault.Event {
	var worst *fault.Event
	most := -1
	for _, f := range t.run.Run.Faults {
		n := 0
		for _, spans := range t.spans {
			for i := range spans {
				if l := spans[i].Lost; l >= f.Begin && l <= f.End+int64(t.run.Run.TTL) {
					n++
				}
			}
		}
		if n > most {
			worst, most = f, n
		}
	}
	return worst
}

// panel draws what happened between two times.
func (t *timeline) panel(from, to int64) {
	faults := slices.DeleteFunc(slices.Clone(t.run.Run.Faults), func(f *fault.Event) bool { return f.End < from || f.Begin > to })
	slices.SortFunc(faults, func(a, b *fault.Event) int { return int(min(max(a.Begin-b.Begin, -1), 1)) })
	top := gutter + maxRows*label
	block := t.slots()*lane + crowd + gutter
	height := top + len(t.spans)*block + 24
	fmt.Fprintf(t.w, `<svg width="%d" height="%d" viewBox="0 0 %d %d">`, left+width+20, height, left+width+20, height)
	x := func(at int64) float64 {
		return left + min(max(float64(at-from)/float64(to-from), 0), 1)*width
	}
	for i, f := range faults {
		a, b := x(f.Begin), x(f.End)
		y := gutter + i%maxRows*label
		fmt.Fprintf(t.w, `<g><title>%s</title><rect x="%.1f" y="%d" width="%.1f" height="%d" fill="#d33" opacity=".16"/><line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#d33" stroke-width=".6"/><text x="%.1f" y="%d" fill="#a11">%s</text></g>`,
			html.EscapeString(t.tell(f)), a, y, max(b-a, 1), height-24-y, a, a, y, height-24, a+2, y+10, html.EscapeString(f.Kind))
	}
	for name, spans := range t.spans {
		y := top + name*block
		fmt.Fprintf(t.w, `<text x="0" y="%d">%s</text>`, y+14, html.EscapeString(job.Name(name)))
		t.lanes(spans, from, to, y)
		t.waiters(spans, from, to, y+t.slots()*lane+crowd)
	}
	t.axis(from, to, height-24)
	fmt.Fprint(t.w, "</svg>\n")
}

func (t *timeline) tell(f *fault.Event) string {
	s := fmt.Sprintf("%s at %.3f s for %v", f.Kind, t.seconds(f.Begin), time.Duration(f.End-f.Begin).Round(time.Millisecond))
	if f.Slot >= 0 {
		s += fmt.Sprintf(", worker %d", f.Slot)
	}
	if f.Lock >= 0 {
		s += ", " + job.Name(f.Lock)
	}
	if f.Note != "" {
		s += " (" + f.Note + ")"
	}
	if f.Effect != "" {
		s += ": " + f.Effect
	}
	return s
}

func (t *timeline) seconds(at int64) float64 { return float64(at-t.run.Run.Begin) / 1e9 }

// axis draws the time.
func (t *timeline) axis(from, to int64, y int) {
	step := int64(time.Second)
	for (to-from)/step < 8 {
		step /= 10
	}
	for (to-from)/step > 24 {
		step *= 5
	}
	for at := t.run.Run.Begin + ((from-t.run.Run.Begin)/step+1)*step; at <= to; at += step {
		px := left + float64(at-from)/float64(to-from)*width
		fmt.Fprintf(t.w, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#999"/><text x="%.1f" y="%d" text-anchor="middle" fill="#555">%.4g s</text>`,
			px, px, y, y+4, px, y+16, t.seconds(at))
	}
}
