package report

import (
	"bytes"
	"os"
	"path/filepath"

	"github.com/dlock-go/dlock/chaos/run"
)

// Write writes report.md and timeline.html into dir.
func Write(dir string, results []*run.Result) error {
	var md, page bytes.Buffer
	Markdown(&md, results)
	if err := os.WriteFile(filepath.Join(dir, "report.md"), md.Bytes(), 0o644); err != nil {
		return err
	}
	if r := pick(results); r != nil {
		HTML(&page, r)
		return os.WriteFile(filepath.Join(dir, "timeline.html"), page.Bytes(), 0o644)
	}
	return nil
}

// pick chooses the run that there is most to see of: one with violations if there
// is one, else that in which most was lost.
func pick(results []*run.Result) *run.Result {
	var best *run.Result
	score := func(r *run.Result) int { return r.Verdict.Violations()*1000 + r.Verdict.Losses }
	for _, r := range results {
		if best == nil || score(r) > score(best) {
			best = r
		}
	}
	return best
}
