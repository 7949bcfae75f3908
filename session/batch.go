package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dlock-go/dlock/backend"
)

// apply runs one batch and reports the answer. sent tells of each op whether it was
// sent before and may have taken effect; nil is never. queued tells that something
// began to wait at the store.
func (l *Link) apply(ctx context.Context, s backend.Session, ops []backend.Op, sent []bool, batch bool) (queued bool, err error) {
	asleep := time.Duration(l.asleep.Load())
	if l.leased {
		asleep = slept(time.Now())
		l.asleep.Store(int64(asleep))
	}
	results, leases, err := s.Apply(ctx, ops)
	l.busy.Store(0)
	if cause := context.Cause(ctx); cause != nil {
		err = cmp.Or(err, cause) // Overdue, or cut short by Close.
	} else if err == nil && len(results) != len(ops) {
		err = fmt.Errorf("driver answered %d of %d operations", len(results), len(ops))
	}
	if err != nil {
		over := errors.Is(err, backend.ErrSessionOver)
		for i := range ops {
			l.unacked.add(ops[i], !over || sent != nil && sent[i])
		}
		return false, err
	}

	r := &l.answer
	if !batch {
		r = new(Report) // The last answer to a batch may still be on its way.
	}
	*r = Report{Kind: Answer, Batch: batch, Ops: r.Ops[:0], Results: r.Results[:0], Leases: r.Leases[:0]}
	var silent, refused int
	for i, res := range results {
		op, before := &ops[i], sent != nil && sent[i]
		switch l.settle(op, &res, before) {
		case backend.Unknown:
			silent++
			continue
		case backend.Refused:
			refused++
			continue
		case backend.Queued:
			queued = true
		}
		r.Ops = append(r.Ops, *op)
		r.Results = append(r.Results, res)
	}
	l.takeLeases(r, leases)
	r.Asleep, r.Unacked = asleep, silent+refused
	if l.unacked.len() == 0 {
		l.unacked.why = nil
		l.silent.Over()
		l.refused.Over()
	}
	r.Trouble = cmp.Or(l.unacked.why, l.overdue)
	l.complain(silent, refused)
	if batch || r.Unacked > 0 || len(r.Ops) > 0 || len(leases) > 0 {
		l.report(r)
	}
	return queued, nil
}

// settle notes whether an op is to be sent again. It returns Unknown or Refused if so,
// and 0 or Queued if its result is the one to report. before tells whether the op was
// sent before and may have taken effect.
func (l *Link) settle(op *backend.Op, res *backend.Result, before bool) backend.State {
	switch res.State {
	case backend.Unknown:
		l.unacked.add(*op, true)
		l.unacked.why = cmp.Or(res.Err, errSilent)
		return backend.Unknown
	case backend.Refused:
		if op.Do == backend.Acquire && !op.Wait && !before {
			return 0 // Who does not wait hears of it at once.
		}
		l.unacked.add(*op, before)
		l.unacked.why = cmp.Or(res.Err, errRefused)
		return backend.Refused
	case backend.Released, backend.NotHeld:
		if before {
			res.State = backend.Released // It may be missing because of the first one.
		}
		l.unacked.forget(op.Owner)
	case backend.Queued:
		return backend.Queued
	}
	return 0
}

var (
	errSilent  = errors.New("no answer from the store")
	errRefused = errors.New("refused by the store")
)

// takeLeases puts the renewed leases into a report, and keeps why others were not.
func (l *Link) takeLeases(r *Report, leases []backend.Lease) {
	if len(leases) == 0 {
		return
	}
	l.leased, l.overdue = true, nil
	for _, lease := range leases {
		if lease.Err != nil {
			l.overdue = lease.Err
			continue
		}
		r.Leases = append(r.Leases, lease)
	}
}

// complain logs what was not carried out.
func (l *Link) complain(silent, refused int) {
	if silent+refused == 0 {
		return
	}
	now := time.Now()
	if refused > 0 && l.refused.Due(now) {
		l.logger.Warn("dlock: the store refuses; operations are sent again", "backend", l.backend.String(),
			"error", l.unacked.why, "operations", l.unacked.len())
	} else if silent > 0 && l.silent.Due(now) {
		l.logger.Info("dlock: no answer; operations are sent again", "backend", l.backend.String(),
			"error", l.unacked.why, "operations", l.unacked.len())
	}
}
