package vote

import (
	"time"

	"github.com/dlock-go/dlock/backend"
)

// A Request is what a node is asked for an acquisition.
type Request struct {
	Kind  Kind
	Flag  bool   // what it says depends on the kind
	Token uint64 // of AskVote, AskAgain and AskCheck, from when it is taken
	Slot  uint32

	of     *acquisition
	off    bool   // was withdrawn before it was sent
	sent   bool   // and may have taken effect
	again  bool   // was sent before without an answer
	seq    uint64 // among those of its node
	round  int
	doubts int // of the acquisition, when AskCheck was asked
}

// A Kind is what a request asks for.
type Kind uint8

const (
	AskVote    Kind = iota + 1 // flag: it waits where there is none
	AskAgain                   // for the vote of a hold; flag: a majority has confirmed that it is one
	AskRelease                 // flag: it held
	AskYield                   // that the vote is taken back and the place kept; flag: nobody has won
	AskCheck                   // whether the vote is still there
)

// binds reports whether a request may leave something at the node that has to be released.
func (k Kind) binds() bool { return k != AskRelease && k != AskCheck }

// Op returns what the acquisition wants.
func (r *Request) Op() *backend.Op { return &r.of.op }

// Lock returns how nodes call the lock.
func (r *Request) Lock() string { return r.of.lock }

// Bucket returns where nodes keep the tokens of the lock.
func (r *Request) Bucket() string { return r.of.bucket }

// Ticket returns by what nodes order the acquisition among those who wait.
func (r *Request) Ticket() uint64 { return r.of.ticket }

// An Answer is what a node says to a request.
type Answer struct {
	Word   Word
	Number uint64        // of Low and High
	Wait   time.Duration // of Withheld
	Rivals []Rival       // of Busy
	Flag   bool          // of Given: another session waits; of Freed: there was a vote
	Err    error         // of Failed
}

// A Word is the gist of an answer.
type Word uint8

const (
	Failed     Word = iota
	Given           // the vote
	Low             // the token is; those above Number are not
	High            // the token is; Number is the highest
	Busy            // others are in the way
	Reserved        // the lock is free, and others have a better right
	Withheld        // the node may not vote yet
	OtherLimit      // the semaphore is in use with another limit
	Doubted         // the vote of a hold may have been given to others meanwhile
	Gone            // the vote that was to be checked
	Freed           // what was to be released or yielded
)
