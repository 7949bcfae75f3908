// Package redis keeps dlock's locks in Redis: in one node, in a Redis Cluster, in
// the master that a Sentinel names, or in a quorum of independent nodes.
//
// Importing it makes dlock.Open understand these URLs; each scheme with an s
// after redis, as in rediss://, stands for TLS, which is recommended wherever the
// network is not one's own:
//
//	redis://user:password@host:6379/0            one node
//	redis://a:6379,b:6379,c:6379/0               a quorum of independent nodes
//	redis+cluster://a:6379,b:6379                a Redis Cluster, by some of its nodes
//	redis+sentinel://a:26379,b:26379/0?master=m  the master m of these Sentinels
//
// Behind a ? they take prefix (what keys begin with), tls-ca-file, tls-cert-file,
// tls-key-file and tls-server-name (with rediss), sentinel-user and
// sentinel-password, and for a quorum max-ttl. [New] takes clients of go-redis instead, with the settings
// that they have.
//
// # What a server has to offer
//
// Redis 6.2 or later, or what understands its commands, scripts and channels; and a
// maxmemory-policy of noeviction, or no maxmemory, for a server that evicts keys would
// evict locks. Open refuses another one. Sessions look again once a minute: while the
// server evicts keys they grant nothing new, which is logged; a quorum's one is asked for no
// new votes.
//
// The rights that a user needs, with the prefix in place of dlock:
//
//	ACL SETUSER app on >secret ~dlock:* &dlock:* -@all +evalsha +eval +subscribe
//	  +unsubscribe +ping +info +publish +time +set +get +del +exists +pexpire +pttl
//	  +incr +zadd +zrem +zrange +zrangebyscore +zscore +hset +hget +hdel +hmget
//	  +hgetall +hlen +hexists +hkeys +hincrby
//
// A cluster needs cluster|slots and cluster|shards besides, or what else its client asks
// for the slots, Sentinels sentinel and subscribe of their own user, and the nodes of a
// quorum hvals, hscan, hsetnx and zunionstore. Open tries what the scripts call and
// names what is missing. Of the rest dlock does without, and logs once what that costs:
// without subscribe, or the right to the channels, those who wait ask ten times a second;
// without info, which a quorum needs, the server is not known to be fit; without ping, a
// connection that hangs is noticed later; without evalsha each batch carries its script.
//
// A lock that somebody deletes by hand is lost for its holder, who hears of it when its
// key is looked at: a heartbeat, in a third of the time to live, looks at the next 350 of
// what is held, in a cluster of each part. So that is within the time to live for up to a
// thousand locks, and n/350 heartbeats for n. Those who wait for it get it in their order
// when the first of them asks again, which takes as long.
//
// go-redis has one logger for the whole process and writes to standard error unless
// redis.SetLogger gives it another. dlock sets none; what is left of its lines are those
// of Sentinel's clients.
//
// The key "format" behind the prefix has the number of the format of all others, in a
// cluster once in each part and in a quorum on each node, behind q: there. Open refuses
// another one than it knows.
//
// # One node
//
// Processes queue at the server in the order of their arrival, and whoever gives
// a lock back passes it on to the next, who is told by a message. All that a
// process has to ask at one moment is one call of one script. What it holds lasts
// as long as it renews its session, once in a third of the time to live, whatever
// the number of its locks; a process that died loses them when the time to live
// has passed, by the server's clock.
//
// Every key has an expiry but format and o, which has the last token: what killed
// processes leave is gone after ten minutes or twenty times their time to live, or after
// one time to live for each 350 locks that they held, whichever is longest.
//
// A hold ends for its holder before the server can grant the lock again. Its
// token grows from grant to grant of a name, and is the server's clock where
// it can, in microseconds since 2020: it goes on growing after FLUSHALL or a restart without
// data, provided that the clock was not set back as well.
//
// A server that restarts with its data, within the time to live, keeps all locks
// and places. One that lost data, or a replica that took over without the last
// writes, has locks free that are held: their holders are told within a third of
// the time to live, and may overlap with the next ones until then. So it is with
// FLUSHALL, and with a server whose clock jumps. A master that is cut off from its
// Sentinels overlaps with the one that replaces it for as long as clients reach it,
// unless min-replicas-to-write is at least 1: Open logs where it is not. Where that must not be, persist
// with appendfsync always, or use a quorum; and in any case have the resource
// check tokens, which loses nothing then.
//
// # A cluster
//
// Locks are divided into 16 parts by their names, each in a slot of its own, and
// a session has a lease in each part that it uses. A node that fails ends the
// holds on its slots alone. While the keys of a slot move to another node, locks
// in it are neither granted nor renewed; holds survive if that takes less than
// the time to live. Of failovers the same is true as of one node's.
//
// # Quorum
//
// A quorum is an odd number of servers, three to nine, that know nothing of one another:
// no replicas, no cluster, maxmemory-policy noeviction. Whoever has the votes of a
// majority holds. It tolerates the loss of a minority of the servers, whether they are
// down, hang, or lose their data. A hold survives that all of them are restarted one by
// one, if each has time to give its votes again: it does not before it has run for 3.5 s,
// or a third of the longest time to live if that is less, and it is asked within a second
// more, and another one for each 25 000 locks that a client holds. Without a majority
// nothing is granted, and what is held is lost before its time to live is over.
//
// A server that was restarted, with its data or without, or that was flushed while it
// was in use, gives no new votes until the longest time to live has passed
// ([DefaultMaxTTL], [Store.WithMaxTTL], max-ttl in a URL); it takes back those of who
// holds by the others. When a quorum is set up and all servers can be reached nobody
// waits; a server that was out of reach then counts as one that has lost its data, and
// the others wait until they have been running for as long.
//
// Every key has an expiry but format, node, which tells a server from one that has lost its
// data, and floor, which has the tokens. What killed processes leave is gone after twelve
// times their time to live, or after four for each 1050 locks that they held, and after
// nine seconds at least. A server whose memory is full gives no new votes, and goes on
// with those who are there.
//
// There is no order between processes. Servers wake whoever has waited longest, by the
// clocks of the waiters, and keep the lock for a tenth of a second for him. At most
// [backend.MaxWriters] writers in a row pass a waiting reader as each server counts them;
// servers that have missed some may let a few more pass.
//
// Fencing tokens are times in µs since 2020 that no server gives twice or in the wrong order. What
// servers remember of them is bounded: one for each of 16384 buckets of names. They grow
// when a minority loses its data, and, as far as the servers' clocks do not step back,
// when all do. Not promised is exclusion when a majority loses its data at once, when
// servers are flushed, or when a server's clock jumps: holders are told within a third of
// the time to live. So are those whose machine slept while the servers waited for them.
package redis
