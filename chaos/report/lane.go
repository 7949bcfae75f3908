package report

import (
	"fmt"

	"github.com/dlock-go/dlock/chaos/check"
)

// lanes draws who held a lock: for each worker how much of each pixel.
func (t *timeline) lanes(spans []check.Span, from, to int64, top int) {
	n := t.slots()
	held := make([][width + 1]float64, n)   // share of a pixel
	writes := make([][width + 1]float64, n) // exclusively
	perPixel := float64(to-from) / width
	for i := range spans {
		s := &spans[i]
		if s.Granted == 0 || s.Prober || s.Until < from || s.Granted > to {
			continue
		}
		a, b := float64(max(s.Granted, from)-from)/perPixel, float64(min(s.Until, to)-from)/perPixel
		for px := int(a); px <= int(b) && px <= width; px++ {
			share := min(b, float64(px+1)) - max(a, float64(px))
			held[s.Slot][px] += share
			if !s.Shared {
				writes[s.Slot][px] += share
			}
		}
	}
	for slot := range n {
		y := top + slot*lane
		fmt.Fprintf(t.w, `<rect x="%d" y="%d" width="%d" height="%d" fill="#f4f4f4"/>`, left, y, width, lane-1)
		// Neighbours that look the same are one rectangle.
		for px := 0; px < width; {
			shade, writer := level(held[slot][px]), writes[slot][px]*2 > held[slot][px]
			end := px + 1
			for end < width && level(held[slot][end]) == shade && (writes[slot][end]*2 > held[slot][end]) == writer {
				end++
			}
			if shade > 0 {
				opacity := float64(shade) / levels
				if !writer {
					opacity *= 0.55
				}
				fmt.Fprintf(t.w, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s" opacity="%.2f"/>`,
					left+px, y, end-px, lane-1, colours[slot%len(colours)], opacity)
			}
			px = end
		}
	}
	t.marks(spans, from, to, top)
}

// levels is how many shades there are; what is held at all can be seen.
const levels = 5

func level(share float64) int {
	if share < 0.002 {
		return 0
	}
	return 1 + int(min(share, 0.999)*levels*0.999)
}

// marks draws losses and deaths, and in a close view what a hold is.
func (t *timeline) marks(spans []check.Span, from, to int64, top int) {
	scale := float64(width) / float64(to-from)
	for i := range spans {
		s := &spans[i]
		if s.Prober || s.Until < from || max(s.Call, s.Granted) > to {
			continue
		}
		y := top + s.Slot*lane
		if s.Granted != 0 && float64(s.Until-s.Granted)*scale > 4 {
			a, b := max(s.Granted, from), min(s.Until, to)
			fmt.Fprintf(t.w, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="transparent"><title>worker %d held it from %.4f to %.4f s, token %d</title></rect>`,
				left+float64(a-from)*scale, y, float64(b-a)*scale, lane, s.Slot, t.seconds(s.Granted), t.seconds(s.Until), s.Token)
		}
		if s.Lost >= from && s.Lost <= to && s.Lost != 0 {
			fmt.Fprintf(t.w, `<text x="%.1f" y="%d" text-anchor="middle" fill="#c00">▼<title>worker %d lost it at %.4f s</title></text>`,
				left+float64(s.Lost-from)*scale, y+5, s.Slot, t.seconds(s.Lost))
		}
		if s.Killed && s.Granted != 0 && s.Until >= from && s.Until <= to {
			fmt.Fprintf(t.w, `<text x="%.1f" y="%d" text-anchor="middle">✕<title>worker %d was killed at %.4f s</title></text>`,
				left+float64(s.Until-from)*scale, y+7, s.Slot, t.seconds(s.Until))
		}
	}
}

// waiters draws how many wait, above bottom.
func (t *timeline) waiters(spans []check.Span, from, to int64, bottom int) {
	var waiting [width + 1]float64
	perPixel := float64(to-from) / width
	for i := range spans {
		s := &spans[i]
		until := s.Until
		if s.Granted != 0 {
			until = s.Granted
		}
		if until < from || s.Call > to {
			continue
		}
		a, b := float64(max(s.Call, from)-from)/perPixel, float64(min(until, to)-from)/perPixel
		for px := int(a); px <= int(b) && px <= width; px++ {
			waiting[px] += min(b, float64(px+1)) - max(a, float64(px))
		}
	}
	const most = 16 // that the height is for
	fmt.Fprintf(t.w, `<path fill="#bbb" d="M%d %d`, left, bottom)
	last := -1.0
	for px := range width {
		h := min(waiting[px]/most, 1) * (crowd - 2)
		if d := h - last; d > 0.4 || d < -0.4 {
			fmt.Fprintf(t.w, "L%d %.1fH%d", left+px, float64(bottom)-h, left+px+1)
			last = h
		} else {
			fmt.Fprintf(t.w, "H%d", left+px+1)
		}
	}
	fmt.Fprintf(t.w, `L%d %dZ"><title>how many wait</title></path>`, left+width, bottom)
}
