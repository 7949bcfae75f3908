package single

import (
	"fmt"

	"github.com/dlock-go/dlock/backend"
)

// shards is into how many parts the locks of a cluster are divided. A script
// stays in one of them. It is a constant of the protocol: clients that divide
// otherwise do not see each other's locks.
const shards = 16

// Tags are what the keys of a shard have between braces, such that each shard
// lies in its own sixteenth of the slots.
var Tags = [shards]string{}

func init() {
	for n := 0; ; n++ {
		tag := fmt.Sprint(n)
		if b := SlotOf(tag) * shards / slots; Tags[b] == "" {
			Tags[b] = tag
		}
		done := true
		for _, t := range Tags {
			done = done && t != ""
		}
		if done {
			return
		}
	}
}

// slots is how many slots a Redis Cluster has.
const slots = 16384

// SlotOf returns the slot of a hash tag: its CRC16 of the kind XMODEM.
func SlotOf(tag string) int {
	var crc uint16
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) % slots
}

// ShardOf returns in which shard of a cluster a lock lies.
func ShardOf(class backend.Class, name string) int {
	// FNV-1a
	h := uint32(2166136261)
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619
	}
	h = (h ^ uint32(class)) * 16777619
	h ^= h >> 16
	return int(h % shards)
}
