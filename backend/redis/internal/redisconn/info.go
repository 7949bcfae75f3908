package redisconn

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
)

// Fit returns why locks must not be kept on a server, or nil. A server that does
// not allow INFO is taken on trust.
func Fit(ctx context.Context, client redis.UniversalClient) error {
	if c, ok := client.(*redis.ClusterClient); ok {
		return c.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return fitOne(ctx, c, true) })
	}
	return fitOne(ctx, client, false)
}

// Inform returns the fields of a server's INFO, or none where it does not allow that.
func Inform(ctx context.Context, client informer) (map[string]string, error) {
	info, err := AskInfo(ctx, client)
	if err != nil && forbidden(err, "info") {
		return nil, nil
	}
	return info, err
}

type informer interface {
	Info(ctx context.Context, sections ...string) *redis.StringCmd
}

// AskInfo returns the fields of a server's INFO.
func AskInfo(ctx context.Context, client informer) (map[string]string, error) {
	text, err := client.Info(ctx).Result()
	if err != nil {
		return nil, err
	}
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[k] = v
		}
	}
	return info, nil
}

// errSplit is what is to be known of a master that a Sentinel may replace.
var errSplit = errors.New("min-replicas-to-write is 0: a master that is cut off from its Sentinels goes on granting locks beside the one that replaces it, for as long as clients reach it")

// Splits returns errSplit where a master does not stop by itself when it has lost its
// replicas.
func Splits(ctx context.Context, client redis.UniversalClient) error {
	info, err := Inform(ctx, client)
	if err != nil || info == nil || info["min_slaves_good_slaves"] != "" {
		return nil
	}
	return errSplit
}

func fitOne(ctx context.Context, client redis.UniversalClient, cluster bool) error {
	info, err := Inform(ctx, client)
	if err != nil || info == nil {
		return err
	}
	if err := Evicts(info); err != nil {
		return err
	}
	if info["cluster_enabled"] == "1" && !cluster {
		return fmt.Errorf("%w: the server belongs to a Redis Cluster; its URL begins with redis+cluster://", backend.ErrUnsupported)
	}
	if info["role"] == "slave" {
		return fmt.Errorf("READONLY the server is a replica of %s:%s; locks are taken on the master", info["master_host"], info["master_port"])
	}
	return old(info)
}
