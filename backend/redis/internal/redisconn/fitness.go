package redisconn

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/dlock-go/dlock/backend"
)

// This file is what servers have to be, by the fields of their INFO.

// Evicts returns why a server would lose locks when its memory is full, or nil. That may
// be changed at any time.
func Evicts(info map[string]string) error {
	switch policy := info["maxmemory_policy"]; {
	case info["maxmemory"] == "0" || policy == "" || policy == "noeviction":
		return nil
	default:
		return fmt.Errorf("%w: the server evicts keys when its memory is full (maxmemory-policy %s), and with them locks; it has to be noeviction",
			backend.ErrUnsupported, policy)
	}
}

// old returns why a server is too old, or nil.
func old(info map[string]string) error {
	major, rest, _ := strings.Cut(info["redis_version"], ".")
	minor, _, _ := strings.Cut(rest, ".")
	if a, err := strconv.Atoi(major); err == nil {
		if b, err := strconv.Atoi(minor); err == nil && (a < 6 || a == 6 && b < 2) {
			return fmt.Errorf("%w: Redis %s; it has to be 6.2 or later", backend.ErrUnsupported, info["redis_version"])
		}
	}
	return nil
}

// FitNode returns why a server cannot be a node of a quorum, or nil.
func FitNode(info map[string]string) error {
	switch {
	case info["run_id"] == "":
		return fmt.Errorf("%w: the server does not tell its run_id, by which a quorum notices that it was restarted", backend.ErrUnsupported)
	case info["cluster_enabled"] == "1":
		return fmt.Errorf("%w: the server belongs to a Redis Cluster, whose fail-overs lose votes", backend.ErrUnsupported)
	case info["role"] != "master":
		return fmt.Errorf("%w: the server is a replica of %s:%s, and its votes would not be its own", backend.ErrUnsupported, info["master_host"], info["master_port"])
	}
	return old(info)
}
