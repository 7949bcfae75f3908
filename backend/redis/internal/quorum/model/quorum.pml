/*
 * The votes of a quorum, for spin: three nodes, two clients, one lock. It checks that two
 * clients never hold at once, that tokens grow from grant to grant, and that nothing is left
 * at the nodes of an acquisition that is over.
 *
 * Everything here has its counterpart in ../vote and ../lua: ask is Machine.attempt, won is
 * Machine.weigh, leave is releaseVotes, again is revote, and the steps of the nodes are
 * vote_batch.lua and vote_join.lua. Left out is what decides only how soon somebody gets
 * the lock: queues, messages, reservations, pauses.
 *
 * Time is coarse. A client believes in an epoch until its own clock says that it is over,
 * at any moment; a node ends it at any later moment, for the client counts from before it
 * asked. A node that has lost its data votes again when nobody believes in an epoch of
 * before.
 *
 * Lines are in order, and a request that was sent cannot be taken back. That a request is
 * on its way and that it is not sent yet is the same here; that it was carried out and the
 * answer is on its way, or lost, is not.
 *
 * A break is put in by -D: see check.sh.
 */

#ifndef TOKENS
#define TOKENS 3 /* the highest token */
#endif
#ifndef RESTARTS
#define RESTARTS 1 /* how often a node loses its data */
#endif
#ifndef ENDS
#define ENDS 2 /* how many epochs end by time */
#endif

/* What a client does. */
#define IDLE 0
#define ASK 1
#define HOLD 2
#define LEAVE 3

/* What is under way between a client and a node. */
#define NOTHING 0
#define VOTE 1       /* asked for its vote */
#define AGAIN 2      /* asked for its vote for a hold */
#define RELEASE 3
#define GAVE 4       /* the node gave its vote, and the answer is on its way */
#define GAVEAGAIN 5

c_code {
\#include "symmetry.h"
}

byte does[2], token[2];   /* of the acquisition */
bit told[2];             /* the caller was told that it holds, and relies on it */
byte latest;             /* the highest token that anybody has asked with */
byte last;               /* that of the last grant */
byte restarts, ends;

/* By client * 3 + node. */
byte line[6], asked[6];  /* with which token */
bit behind[6];           /* a release is behind it */
bit anew[6];             /* another vote is to be asked for, behind all that */
bit touched[6];          /* the node may have something of the acquisition */
bit freed[6];            /* and has it no more */
bit known[6];            /* the node knows the epoch */
bit believed[6];         /* so does the client */
bit before[6];           /* the epoch is from before the node lost its data */
bit aged[6];             /* the vote was given too long ago to win */
byte vote[6];            /* 0: none, 1: in this epoch, 2: in one that ended with the node's data */

/* By node. */
byte holder[3], given[3], floor[3];
bit quarantine[3];

/* A hold stands on votes that a node has lost since, as long as it gives no new ones. They
 * win nothing. */
#define WINS(i) (vote[i] == 1 && believed[i] && !aged[i])
#define VOTES(c) (WINS(3*c) + WINS(3*c+1) + WINS(3*c+2))
#define COUNTS(i) (vote[i] == 1 && believed[i] || vote[i] == 2)
#define STANDING(c) (COUNTS(3*c) + COUNTS(3*c+1) + COUNTS(3*c+2))
#define FREED(c) (freed[3*c] + freed[3*c+1] + freed[3*c+2])

/* A hold ends for its caller with its deadline. */
#define DEADLINE(c) if :: told[c] && STANDING(c) < 2 -> told[c] = 0 :: else fi

/* The next request of a line whose last one has its answer. */
#define NEXT(c, i) \
	line[i] = NOTHING; asked[i] = 0; \
	if \
	:: behind[i] -> behind[i] = 0; line[i] = RELEASE \
	:: !behind[i] && anew[i] -> anew[i] = 0; if :: does[c] == ASK -> line[i] = VOTE; asked[i] = token[c] :: else fi \
	:: else \
	fi

#define REQUEST(c, i) \
	vote[i] = 0; aged[i] = 0; freed[i] = 0; \
	if :: line[i] == NOTHING || line[i] == VOTE && !behind[i] -> line[i] = VOTE; asked[i] = token[c] :: else -> anew[i] = 1 fi

#define ALL(c) REQUEST(c, 3*c); REQUEST(c, 3*c+1); REQUEST(c, 3*c+2)

#define TAKE(c, i) \
	if :: WANTED(c, i) -> vote[i] = 1; aged[i] = 0 :: else fi; \
	NEXT(c, i)

/* What changes nothing for anybody else happens at once, which leaves fewer states: an
 * answer that nobody waits for comes, and what is not there is released. */
#define WANTED(c, i) ((does[c] == ASK || does[c] == HOLD) && asked[i] == token[c] && !behind[i] && !anew[i])
#define DULL(c, n, i) \
	if :: line[i] >= GAVE && !WANTED(c, i) -> NEXT(c, i) :: else fi; \
	if :: line[i] == RELEASE && known[i] && holder[n] != c+1 -> touched[i] = 0; freed[i] = (does[c] == LEAVE); NEXT(c, i) :: else fi

/* Nodes are alike, and so are clients. */
#define SETTLE \
	DULL(0, 0, 0); DULL(0, 1, 1); DULL(0, 2, 2); DULL(1, 0, 3); DULL(1, 1, 4); DULL(1, 2, 5); \
	c_code { settle(); }

#ifdef NO_FENCE
#define FENCE(i) anew[i] = 0; if :: line[i] == VOTE || line[i] == GAVE -> freed[i] = 1 :: else -> behind[i] = 1 fi
#else
#define FENCE(i) anew[i] = 0; behind[i] = 1
#endif

#define GIVEUP(c, i) \
	vote[i] = 0; aged[i] = 0; \
	if \
	:: line[i] == NOTHING && touched[i] -> line[i] = RELEASE \
	:: line[i] == NOTHING && !touched[i] -> freed[i] = 1 \
	:: line[i] == RELEASE -> anew[i] = 0; freed[i] = 1 /* of the acquisition before; this one has asked for nothing */ \
	:: else -> FENCE(i) \
	fi

/* Nothing is left of an acquisition at a node that nothing is under way to. */
#define LEFT(c, n) assert(line[3*c+n] != NOTHING || !known[3*c+n] || holder[n] != c+1)

#define CLIENT(c, o) \
	/* another acquisition */ \
	:: d_step { does[c] == IDLE && latest < TOKENS -> LEFT(c, 0); LEFT(c, 1); LEFT(c, 2); latest++; token[c] = latest; does[c] = ASK; ALL(c); SETTLE } \
	/* by a clock that is behind, with the same token as another one */ \
	:: d_step { does[c] == IDLE && token[c] < latest -> token[c] = latest; does[c] = ASK; ALL(c); SETTLE } \
	/* won */ \
	:: d_step { does[c] == ASK && VOTES(c) >= 2 -> \
		assert(!told[o]); assert(token[c] > last); last = token[c]; does[c] = HOLD; told[c] = 1; SETTLE } \
	/* gives up, or releases */ \
	:: d_step { does[c] == ASK || does[c] == HOLD -> does[c] = LEAVE; told[c] = 0; \
		GIVEUP(c, 3*c); GIVEUP(c, 3*c+1); GIVEUP(c, 3*c+2); SETTLE } \
	/* a majority has released it */ \
	:: d_step { does[c] == LEAVE && FREED(c) >= 2 -> does[c] = IDLE; \
		freed[3*c] = 0; freed[3*c+1] = 0; freed[3*c+2] = 0; SETTLE } \
	REVIVED(c, o)

#ifdef REVIVE
/* The driver goes on with a hold whose lease has passed, as after a sleep. */
#define REVIVED(c, o) :: d_step { does[c] == HOLD && !told[c] && VOTES(c) >= 2 -> assert(!told[o] && token[c] >= last); told[c] = 1; SETTLE }
#define STANDS(c) true
#else
#define REVIVED(c, o)
#define STANDS(c) told[c]
#endif

/* A vote wins only for a short time, and a node that has lost its data gives votes to those
 * who hold after a longer one, though it may give no others yet. */
#ifdef NO_AGE
#define AGE(o, j, n) skip
#else
#define AGE(o, j, n) if :: quarantine[n] && before[j] && vote[j] == 1 && does[o] == ASK -> aged[j] = 1 :: else fi
#endif

/* The node votes for who has not got its vote. */
#define FREE(n) (holder[n] == 0 && !quarantine[n])
#define GIVE(c, n, i) floor[n] = asked[i]; holder[n] = c+1; given[n] = asked[i]; touched[i] = 1
#define MAYGIVE(c, n, i) ((holder[n] == c+1 && given[n] == asked[i]) || ((holder[n] == c+1 || FREE(n)) && asked[i] > floor[n]))

#ifdef AFTER_ANSWER
/* The client counts from after the answer, and may believe in an epoch that is over. */
#define OUTLIVED(c, n, i) :: d_step { known[i] && believed[i] && ends < ENDS -> ends++; FORGOTTEN(c, n, i); SETTLE }
#else
#define OUTLIVED(c, n, i)
#endif
#define FORGOTTEN(c, n, i) known[i] = 0; if :: holder[n] == c+1 -> holder[n] = 0; given[n] = 0 :: else fi

#define LINE(c, o, n, i) \
	/* the node gives its vote, and the answer comes, or not yet */ \
	:: d_step { line[i] == VOTE && known[i] && MAYGIVE(c, n, i) -> GIVE(c, n, i); TAKE(c, i); SETTLE } \
	:: d_step { line[i] == VOTE && known[i] && MAYGIVE(c, n, i) -> GIVE(c, n, i); line[i] = GAVE; SETTLE } \
	:: d_step { line[i] == GAVE || line[i] == GAVEAGAIN -> TAKE(c, i); SETTLE } \
	/* the answer is lost: the same again, over the next connection */ \
	:: d_step { line[i] == GAVE || line[i] == GAVEAGAIN -> line[i] = line[i] - 3; SETTLE } \
	/* the token is too low: all are asked again with another one */ \
	:: d_step { line[i] == VOTE && known[i] && (holder[n] == c+1 || FREE(n)) && !MAYGIVE(c, n, i) -> \
		if :: does[c] == ASK && asked[i] == token[c] && !anew[i] && latest < TOKENS -> NEXT(c, i); latest++; token[c] = latest; ALL(c) \
		   :: else -> NEXT(c, i) fi; SETTLE } \
	/* another one has it, or the node may not vote */ \
	:: d_step { line[i] == VOTE && known[i] && holder[n] != c+1 && !FREE(n) -> NEXT(c, i); SETTLE } \
	/* what waits behind a vote that was not sent is withdrawn with it */ \
	:: d_step { does[c] == LEAVE && line[i] == VOTE && behind[i] -> behind[i] = 0; asked[i] = 0; \
		if :: touched[i] -> line[i] = RELEASE :: else -> line[i] = NOTHING; freed[i] = 1 fi; SETTLE } \
	/* a hold lacks the vote of the node */ \
	:: d_step { does[c] == HOLD && STANDS(c) && vote[i] != 1 && line[i] == NOTHING -> line[i] = AGAIN; asked[i] = token[c]; SETTLE } \
	:: d_step { line[i] == AGAIN && known[i] && holder[n] == o+1 -> NEXT(c, i); SETTLE } \
	:: d_step { line[i] == AGAIN && known[i] && holder[n] != o+1 -> \
		AGE(o, 3*o+n, n); \
		if :: asked[i] > floor[n] -> floor[n] = asked[i] :: else fi; \
		holder[n] = c+1; given[n] = asked[i]; touched[i] = 1; line[i] = GAVEAGAIN; SETTLE } \
	/* a release */ \
	:: d_step { line[i] == RELEASE && known[i] -> \
		if :: holder[n] == c+1 -> holder[n] = 0; given[n] = 0 :: else fi; \
		touched[i] = 0; freed[i] = (does[c] == LEAVE); NEXT(c, i); SETTLE } \
	/* the node does not know the epoch any more: another one begins */ \
	:: d_step { line[i] < GAVE && !known[i] -> \
		if :: vote[i] == 1 && before[i] && believed[i] && told[c] -> vote[i] = 2 :: else -> if :: vote[i] == 1 -> vote[i] = 0 :: else fi fi; \
		before[i] = 0; known[i] = 1; believed[i] = 1; touched[i] = 0; aged[i] = 0; \
		DEADLINE(c); \
		if :: does[c] == LEAVE -> freed[i] = 1 :: else fi; SETTLE } \
	/* the client's clock says that the epoch is over, and later the node's does */ \
	:: d_step { believed[i] && ends < ENDS -> ends++; believed[i] = 0; if :: vote[i] == 2 -> vote[i] = 0 :: else fi; DEADLINE(c); SETTLE } \
	:: d_step { vote[i] == 2 -> vote[i] = 0; DEADLINE(c); SETTLE } \
	:: d_step { known[i] && !believed[i] -> FORGOTTEN(c, n, i); SETTLE } \
	OUTLIVED(c, n, i) \
	/* a heartbeat renews it */ \
	:: d_step { known[i] && !believed[i] -> believed[i] = 1; SETTLE }

/* The answers of before are lost, and the requests are sent again. */
#define LOSE(n, i) \
	known[i] = 0; before[i] = 1; \
	if :: line[i] >= GAVE -> line[i] = line[i] - 3 :: else fi

#ifdef NO_QUARANTINE
#define QUARANTINE 0
#else
#define QUARANTINE 1
#endif

#ifdef NO_FLOOR
#define FORGET(n) floor[n] = 0
#else
#define FORGET(n) skip /* it begins above all that it may have given */
#endif

#define NODE(n) \
	:: d_step { restarts < RESTARTS -> restarts++; holder[n] = 0; given[n] = 0; FORGET(n); \
		LOSE(n, n); LOSE(n, 3+n); quarantine[n] = QUARANTINE; SETTLE } \
	:: d_step { quarantine[n] && !(before[n] && believed[n]) && !(before[3+n] && believed[3+n]) && vote[n] != 2 && vote[3+n] != 2 -> \
		quarantine[n] = 0; SETTLE }

init {
	d_step {
		known[0] = 1; known[1] = 1; known[2] = 1; known[3] = 1; known[4] = 1; known[5] = 1;
		believed[0] = 1; believed[1] = 1; believed[2] = 1; believed[3] = 1; believed[4] = 1; believed[5] = 1
	}
	do
	CLIENT(0, 1)
	CLIENT(1, 0)
	LINE(0, 1, 0, 0)
	LINE(0, 1, 1, 1)
	LINE(0, 1, 2, 2)
	LINE(1, 0, 0, 3)
	LINE(1, 0, 1, 4)
	LINE(1, 0, 2, 5)
	NODE(0)
	NODE(1)
	NODE(2)
	od
}
