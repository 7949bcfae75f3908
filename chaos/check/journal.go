package check

import (
	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/chaos/journal"
)

// A journalReader puts what one process has written down into a history.
type journalReader struct {
	*history
	process *Process
	ops     map[int64]*Hold
	stays   map[sessionKey]*stay
	leases  map[sessionKey]int64
	holders map[sessionKey][]*Hold // by owner
	hangs   map[*Hold]int64        // on which lease
}

// readJournal takes the journal of one process.
func readJournal(h *history, p *Process) {
	j := &journalReader{
		history: h,
		process: p,
		ops:     make(map[int64]*Hold),
		stays:   make(map[sessionKey]*stay),
		leases:  make(map[sessionKey]int64),
		holders: make(map[sessionKey][]*Hold),
		hangs:   make(map[*Hold]int64),
	}
	if p.Killed != 0 {
		h.kills = append(h.kills, killed{p.Killed, p})
	}
	for i := range p.Records {
		r := &p.Records[i]
		j.readHold(r)
		j.readStay(r)
		switch r.Kind {
		case journal.Stall:
			p.stalls = append(p.stalls, span{r.V[0], r.At})
		case journal.Places:
			if !p.Prober {
				h.seen[int(r.V[1])] = max(h.seen[int(r.V[1])], int(r.V[2]))
			}
		case journal.Crowd:
			h.crowd = max(h.crowd, int(r.V[2]))
		}
	}
	for _, s := range j.stays {
		if p.Killed != 0 {
			s.left, s.gone = min(s.left, p.Killed), p.Killed+h.forgotten()
		}
	}
	for _, o := range j.ops {
		o.settle()
	}
}

// readHold takes a record of what a goroutine asked for and got.
func (j *journalReader) readHold(r *journal.Record) {
	v := &r.V
	switch r.Kind {
	case journal.Call:
		j.ops[v[1]] = &Hold{
			process: j.process, client: v[0], op: v[1], name: int(v[2]), mode: backend.Mode(v[3]), try: v[4] < 0, wait: v[4],
			call: r.At, deadline: never, signal: never, lost: never, release: never, released: never,
		}
		j.holds = append(j.holds, j.ops[v[1]])
	case journal.Grant:
		o := j.ops[v[1]]
		o.granted, o.session, o.owner, o.token = r.At, v[2], v[3], uint64(v[6])
		if v[5] != 0 {
			o.deadline = v[5]
			j.hangs[o] = v[4]
		}
		k := sessionKey{j.process, v[2], v[3]}
		j.holders[k] = append(j.holders[k], o)
	case journal.Fail:
		j.ops[v[1]].failed, j.ops[v[1]].why = r.At, r.Text
	case journal.Release:
		j.ops[v[1]].release = r.At
	case journal.Released:
		j.ops[v[1]].released, j.ops[v[1]].confirmed, j.ops[v[1]].error = r.At, r.Text == "", r.Text
	case journal.Signal:
		j.ops[v[1]].signal = min(j.ops[v[1]].signal, r.At)
	case journal.Lost:
		j.ops[v[1]].lost = r.At
	case journal.Overdue:
		j.ops[v[1]].overdue = true
	case journal.Lease:
		j.leases[sessionKey{j.process, v[1], v[2]}] = v[3]
		for o, lease := range j.hangs {
			if o.session == v[1] && lease == v[2] {
				o.deadline = max(o.deadline, v[3])
			}
			if o.release != never {
				delete(j.hangs, o)
			}
		}
	case journal.Move:
		for _, o := range j.holders[sessionKey{j.process, v[1], v[2]}] {
			if until := j.leases[sessionKey{j.process, v[1], v[3]}]; o.release == never && until != 0 {
				o.deadline, j.hangs[o] = until, v[3]
			}
		}
	}
}

// readStay takes a record of what a session asked of the store and got.
func (j *journalReader) readStay(r *journal.Record) {
	v := &r.V
	k := sessionKey{j.process, v[1], v[2]}
	s := j.stays[k]
	switch r.Kind {
	case journal.Ask:
		s = &stay{
			process: j.process, session: v[1], owner: v[2], name: int(v[3]), mode: backend.Mode(v[4]), wait: v[5] != 0,
			asked: r.At, queued: never, taken: never, left: never, gone: never, granted: never,
		}
		j.stays[k] = s
		j.history.stays = append(j.history.stays, s)
	case journal.Dead, journal.Parted:
		for k, s := range j.stays {
			if k.session == v[1] {
				s.left, s.gone = min(s.left, r.At), r.At+j.forgotten()
				delete(j.stays, k)
			}
		}
	}
	if s == nil {
		return
	}
	switch r.Kind {
	case journal.Queued:
		s.queued = min(s.queued, r.At)
	case journal.Taken:
		s.granted = min(s.granted, r.At)
		if s.left == never { // or it is given back unseen
			s.taken, s.ordinal = min(s.taken, r.At), uint64(v[3])
		}
	case journal.Withdraw, journal.Gone:
		s.left = min(s.left, r.At)
		delete(j.holders, k)
		if r.Kind == journal.Gone {
			s.gone = r.At
			delete(j.stays, k)
		}
	}
}
