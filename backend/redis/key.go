package redis

import (
	"fmt"

	"github.com/dlock-go/dlock/backend"
)

// buckets is into how many parts the locks of a cluster are divided. A script
// stays in one of them. It is a constant of the protocol: clients that divide
// otherwise do not see each other's locks.
const buckets = 16

// tags are what the keys of a bucket have between braces, such that each bucket
// lies in its own sixteenth of the slots.
var tags = [buckets]string{}

func init() {
	for n := 0; ; n++ {
		tag := fmt.Sprint(n)
		if b := slotOf(tag) * buckets / slots; tags[b] == "" {
			tags[b] = tag
		}
		done := true
		for _, t := range tags {
			done = done && t != ""
		}
		if done {
			return
		}
	}
}

// slots is how many slots a Redis Cluster has.
const slots = 16384

// slotOf returns the slot of a hash tag: its CRC16 of the kind XMODEM.
func slotOf(tag string) int {
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

// bucketOf returns in which bucket of a cluster a lock lies.
func bucketOf(class backend.Class, name string) int {
	// FNV-1a
	h := uint32(2166136261)
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619
	}
	h = (h ^ uint32(class)) * 16777619
	h ^= h >> 16
	return int(h % buckets)
}
