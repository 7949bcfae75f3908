package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/dlock-go/dlock/bench/contestant"
	"github.com/dlock-go/dlock/bench/run"
	"github.com/dlock-go/dlock/bench/stats"
	"github.com/dlock-go/dlock/bench/workload"
)

// A Plot is a figure of the goroutines on names of their own against their
// number: a panel for each store, a line for each contestant, both axes
// logarithmic.
type Plot struct {
	File  string
	Title string
	key   string
	whisk string // the key of a second figure, to which a whisker goes, or ""
	unit  workload.Unit
}

// Plots are those of the report.
var Plots = []Plot{
	{"throughput.svg", "Pairs of lock and unlock a second", "pairs", "", workload.Number},
	{"latency.svg", "Time of a pair: p50, with a whisker up to p99", "p50", "p99", workload.Seconds},
}

// The measures of a plot, in pixels.
const (
	panelWidth, panelHeight = 440, 300
	left, right             = 62, 128 // room for the numbers, and for the names
	top, bottom             = 34, 40
	headline                = 40
)

// A line is one contestant in one panel.
type line struct {
	contestant *contestant.Contestant
	points     []point
}

type point struct{ x, y, whisker float64 }

// Draw draws the plot as SVG.
func (p Plot) Draw(all run.Results) string {
	var stores []contestant.Store
	panels := make(map[contestant.Store][]line)
	for _, c := range contestant.All {
		l := line{contestant: c}
		for _, r := range all {
			if r.Workload != "own" || r.Contestant != c.ID || !(stats.Median(r.Values(p.key)) > 0) { // 0 has no place on a logarithmic axis.
				continue
			}
			at := point{x: float64(r.Size), y: stats.Median(r.Values(p.key))}
			if p.whisk != "" {
				at.whisker = stats.Median(r.Values(p.whisk))
			}
			l.points = append(l.points, at)
		}
		if l.points == nil {
			continue
		}
		if !slices.Contains(stores, c.Store) {
			stores = append(stores, c.Store)
		}
		panels[c.Store] = append(panels[c.Store], l)
	}
	rows := (len(stores) + 1) / 2
	var b strings.Builder
	width, height := 2*panelWidth, headline+rows*panelHeight
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#333">`+"\n",
		width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="16" y="26" font-size="17" font-weight="bold">%s</text>`+"\n", p.Title)
	for i, store := range stores {
		fmt.Fprintf(&b, `<g transform="translate(%d %d)">`+"\n", i%2*panelWidth, headline+i/2*panelHeight)
		p.panel(&b, store, panels[store])
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// An axis maps a range of values to pixels by their logarithms.
type axis struct{ low, high, from, to float64 }

func (a axis) at(v float64) float64 {
	share := (math.Log(v) - math.Log(a.low)) / (math.Log(a.high) - math.Log(a.low))
	return a.from + share*(a.to-a.from)
}

func (p Plot) panel(b *strings.Builder, store contestant.Store, lines []line) {
	x := axis{math.Inf(1), 0, left, panelWidth - right}
	y := axis{math.Inf(1), 0, panelHeight - bottom, top}
	var sizes []float64
	for _, l := range lines {
		for _, at := range l.points {
			x.low, x.high = min(x.low, at.x), max(x.high, at.x)
			y.low, y.high = min(y.low, at.y), max(y.high, at.y, at.whisker)
			if !slices.Contains(sizes, at.x) {
				sizes = append(sizes, at.x)
			}
		}
	}
	if x.low == x.high {
		x.high = 2 * x.low
	}
	y.low, y.high = y.low/1.5, y.high*1.5

	fmt.Fprintf(b, `<text x="%d" y="20" font-size="14" font-weight="bold">%s</text>`+"\n", left, store)
	for _, v := range ticks(y.low, y.high) {
		fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			left, y.at(v), panelWidth-right, left-6, y.at(v)+4, mark(v, p.unit))
	}
	for _, size := range sizes {
		fmt.Fprintf(b, `<path d="M%.1f %dv5" stroke="#888"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			x.at(size), panelHeight-bottom, x.at(size), panelHeight-bottom+18, strconv.Itoa(int(size)))
	}
	fmt.Fprintf(b, `<path d="M%d %dV%dH%d" stroke="#888" fill="none"/>`+"\n", left, top, panelHeight-bottom, panelWidth-right)
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end" fill="#777">goroutines</text>`+"\n", panelWidth-right, panelHeight-6)

	names := make([]float64, len(lines)) // heights
	for i, l := range lines {
		names[i] = y.at(l.points[len(l.points)-1].y)
	}
	spread(names, top+6, panelHeight-bottom)
	for i, l := range lines {
		style := look(l.contestant, i)
		var path strings.Builder
		for k, at := range l.points {
			move := "L"
			if k == 0 {
				move = "M"
			}
			fmt.Fprintf(&path, "%s%.1f %.1f", move, x.at(at.x), y.at(at.y))
			if at.whisker > 0 {
				// Beside each other, or they would hide each other.
				side := x.at(at.x) + 2.5*(float64(i)-float64(len(lines)-1)/2)
				fmt.Fprintf(b, `<path d="M%.1f %.1fV%.1f" stroke="%s" stroke-width="1.2" opacity="0.6"/>`+"\n",
					side, y.at(at.y), y.at(at.whisker), style.color)
			}
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="%.1f" fill="%s"/>`+"\n", x.at(at.x), y.at(at.y), style.width+0.8, style.color)
		}
		fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="%.1f"%s/>`+"\n", path.String(), style.color, style.width, style.dashes)
		end := l.points[len(l.points)-1]
		fmt.Fprintf(b, `<path d="M%.1f %.1fL%d %.1f" stroke="%s" stroke-width="0.7" opacity="0.6"/>`+"\n",
			x.at(end.x)+3, y.at(end.y), panelWidth-right+10, names[i], style.color)
		fmt.Fprintf(b, `<text x="%d" y="%.1f" fill="%s"%s>%s</text>`+"\n", panelWidth-right+13, names[i]+4, style.color, style.weight, short(l.contestant))
	}
}

// ticks returns round numbers between low and high, three in a power of ten where
// there are few of these.
func ticks(low, high float64) []float64 {
	steps := []float64{1}
	if high/low < 300 {
		steps = []float64{1, 2, 5}
	}
	var all []float64
	for power := math.Floor(math.Log10(low)); power <= math.Log10(high); power++ {
		for _, step := range steps {
			if v := step * math.Pow(10, power); v > low && v < high {
				all = append(all, v)
			}
		}
	}
	return all
}

// mark is a round number as it stands at an axis.
func mark(v float64, u workload.Unit) string {
	switch {
	case u == workload.Number && v >= 1e6:
		return digits(v/1e6) + " M"
	case u == workload.Number && v >= 1e3:
		return digits(v/1e3) + " k"
	}
	return format(v, u)
}

// spread moves heights apart so that names at them do not lie on each other.
func spread(heights []float64, low, high float64) {
	const apart = 14
	order := make([]int, len(heights))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return int(heights[a] - heights[b]) })
	for k, i := range order {
		if k > 0 {
			heights[i] = max(heights[i], heights[order[k-1]]+apart)
		} else {
			heights[i] = max(heights[i], low)
		}
	}
	for k := len(order) - 1; k >= 0; k-- {
		limit := high
		if k < len(order)-1 {
			limit = heights[order[k+1]] - apart
		}
		heights[order[k]] = min(heights[order[k]], limit)
	}
}

// A style is how a contestant's line is drawn.
type style struct {
	color          string
	width          float64
	dashes, weight string
}

// look draws our own lines strong and in shades of blue, peers in colours of their
// own, and floors grey and dashed. i is the place of the line in its panel.
func look(c *contestant.Contestant, i int) style {
	switch c.Role {
	case contestant.Ours:
		return style{"#0b55b5", 2.8, "", ` font-weight="bold"`}
	case contestant.Variant:
		colors := []string{"#4a90d9", "#159a9c"}
		return style{colors[i%len(colors)], 2.2, "", ` font-weight="bold"`}
	case contestant.Floor:
		return style{"#8a8a8a", 1.3, ` stroke-dasharray="5 4"`, ""}
	}
	colors := []string{"#c2571a", "#2e8b57", "#8e44ad", "#b8860b"}
	return style{colors[(i+len(colors)-1)%len(colors)], 1.6, "", ""}
}

// short is a title that fits beside a line.
func short(c *contestant.Contestant) string {
	s, _, _ := strings.Cut(strings.ReplaceAll(c.Title, "`", ""), " (")
	return strings.TrimSuffix(s, " by hand")
}
