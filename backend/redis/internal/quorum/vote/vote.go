package vote

import "time"

// A vote is what an acquisition knows of one node.
type vote struct {
	state   voteState
	round   int
	token   uint64 // of what was asked or given
	slot    uint32
	epoch   *epoch        // of what was given
	since   time.Time     // when that was asked for
	touched *epoch        // under which something was sent last; nil: the node has never heard of the acquisition
	request *Request      // for the vote, not sent yet
	open    int           // requests but releases that have no answer yet
	offer   offer         // of voteUnfit
	rivals  []Rival       // of voteBusy
	wait    time.Duration // of voteWithheld
	others  bool          // another session waits there
	told    bool          // that it may be its turn, while an answer was on its way
	err     error

	// Of a release.
	release *Request // not answered yet
	freed   bool
	proof   proof
	refusal error // why the node did not release
	tried   bool  // a release was asked for before
	dirty   bool  // something was sent since the release was asked for

	// Of a check.
	check   *Request // not answered yet
	sure    int      // the doubts of the acquisition when that was asked which the node said yes to
	missing bool     // the node said no
	doubted bool     // the node gives it to an acquisition that is confirmed alone
	lacking bool     // the acquisition stands in the node's list of those that lack it
}

type voteState uint8

const (
	voteNone     voteState = iota // not asked
	voteAsked                     // no answer yet
	voteGiven                     // in the vote's epoch
	voteUnfit                     // the token was too low or too high: offer tells
	voteBusy                      // others are in the way: rivals tells
	voteReserved                  // for others, who have a better right
	voteWithheld                  // the node may not vote yet, for as long as wait tells
	voteLimit                     // in use with another limit
	voteFailed                    // err tells
)

// A proof is what is known of a vote of a hold that is being released: whether the node
// kept it until then, so that nobody else was given it.
type proof uint8

const (
	proofNone proof = iota // there was none, or the node has forgotten it
	proofOpen              // the answer to the release will tell
	proofKept              // or nobody can tell
)

// A Rival holds a slot at a node.
type Rival struct {
	Slot uint32
	Who  string
}

// stands reports whether a node's vote counts for what a asks for now.
func (v *vote) stands(a *acquisition) bool {
	return v.state == voteGiven && !v.epoch.over && v.token == a.token && v.slot == a.slot
}

// WinsFor is for how long after it was asked for a vote counts for somebody who is to become
// a holder. A node that has lost its data has forgotten it, and may give its vote to one who
// holds by other nodes, but only after a longer time: see vote_join.lua.
func WinsFor(ttl time.Duration) time.Duration { return min(3*ttl/10, 3*time.Second) }

// wins reports whether a vote counts for a to become a holder.
func (m *Machine) wins(a *acquisition, v *vote, now time.Time) bool {
	return v.stands(a) && now.Sub(v.since) < WinsFor(m.TTL)
}

// lingers reports whether a node may have a vote that it gave before it was asked for the
// present one: it was too old to win, and the node would not, or was not to, give it anew.
func (v *vote) lingers(n *node) bool { return v.epoch != nil && v.epoch == n.epoch }

// answers reports whether v is what the node says to the present round.
func (v *vote) answers(a *acquisition, s voteState) bool { return v.round == a.round && v.state == s }
