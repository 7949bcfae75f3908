package redis

import (
	"fmt"

	"github.com/dlock-go/dlock/backend"
)

// fitNode returns why a server cannot be a node of a quorum, by the fields of its
// INFO, or nil.
func fitNode(info map[string]string) error {
	switch {
	case info["run_id"] == "":
		return fmt.Errorf("%w: the server does not tell its run_id, by which a quorum notices that it was restarted", backend.ErrUnsupported)
	case info["cluster_enabled"] == "1":
		return fmt.Errorf("%w: the server belongs to a Redis Cluster, whose fail-overs lose votes", backend.ErrUnsupported)
	case info["role"] != "master":
		return fmt.Errorf("%w: the server is a replica of %s:%s, and its votes would not be its own", backend.ErrUnsupported, info["master_host"], info["master_port"])
	case info["maxmemory"] != "0" && info["maxmemory_policy"] != "noeviction":
		return fmt.Errorf("%w: the server evicts keys when its memory is full (maxmemory-policy %s), and with them votes; it has to be noeviction",
			backend.ErrUnsupported, info["maxmemory_policy"])
	}
	return nil
}
