package redistest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A Cluster is a Redis Cluster. Its masters come first.
type Cluster struct {
	Masters, Replicas []*Server
}

// slots is how many slots every cluster has.
const slots = 16384

// StartCluster starts a cluster of so many masters, each with so many replicas.
func StartCluster(masters, replicas int, config ...string) (_ *Cluster, err error) {
	c := new(Cluster)
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	config = append([]string{"cluster-enabled yes", "cluster-node-timeout 1000", "cluster-config-file nodes.conf"}, config...)
	for i := range masters * (1 + replicas) {
		s, err := Start(config...)
		if err != nil {
			return nil, err
		}
		if i < masters {
			c.Masters = append(c.Masters, s)
			_, err = s.Do("CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(slots*i/masters), fmt.Sprint(slots*(i+1)/masters-1))
		} else {
			c.Replicas = append(c.Replicas, s)
		}
		if err != nil {
			return nil, err
		}
		if _, err := s.Do("CLUSTER", "SET-CONFIG-EPOCH", fmt.Sprint(i+1)); err != nil {
			return nil, err
		}
		if first := c.Masters[0]; s != first {
			if _, err := s.Do("CLUSTER", "MEET", "127.0.0.1", fmt.Sprint(first.port), fmt.Sprint(first.bus)); err != nil {
				return nil, err
			}
		}
	}
	if err := c.ready(); err != nil {
		return nil, err
	}
	for i, r := range c.Replicas {
		id, err := c.Masters[i%masters].Do("CLUSTER", "MYID")
		if err == nil {
			_, err = r.Do("CLUSTER", "REPLICATE", fmt.Sprint(id))
		}
		if err != nil {
			return nil, err
		}
		if err := r.await("master_link_status", "up"); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// NewCluster is StartCluster for a test.
func NewCluster(tb testing.TB, masters, replicas int, config ...string) *Cluster {
	tb.Helper()
	c, err := StartCluster(masters, replicas, config...)
	check(tb, err)
	tb.Cleanup(c.Close)
	return c
}

// Servers returns all nodes.
func (c *Cluster) Servers() []*Server {
	return append(append([]*Server(nil), c.Masters...), c.Replicas...)
}

// Addrs returns the addresses of the masters.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, s := range c.Masters {
		addrs = append(addrs, s.Addr())
	}
	return addrs
}

// Close ends all nodes.
func (c *Cluster) Close() {
	for _, s := range c.Servers() {
		s.Close()
	}
}

// ready waits until every node knows all others and all slots are served.
func (c *Cluster) ready() error {
	all := c.Servers()
	for _, s := range all {
		for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
			v, err := s.Do("CLUSTER", "INFO")
			if err != nil {
				return err
			}
			if info := fmt.Sprint(v); strings.Contains(info, "cluster_state:ok") &&
				strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r\n", len(all))) {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("redistest: the cluster does not form: %v", v)
			}
		}
	}
	return nil
}

// await waits until a field of INFO has a value.
func (s *Server) await(field, value string) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		info, err := s.Info()
		if err != nil {
			return err
		}
		if info[field] == value {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("redistest: %s is %q, not %q", field, info[field], value)
		}
	}
}
