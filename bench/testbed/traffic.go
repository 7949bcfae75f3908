package testbed

import (
	"context"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// Traffic is what a server has counted since it was started.
type Traffic struct {
	Commands float64 // of Postgres the transactions; that is one a statement here
	Bytes    float64 // in and out; Postgres does not count them
	Memory   float64 // in use, in bytes; Postgres does not tell
	CPU      float64 // in seconds; Postgres does not tell
}

// A Meter reads the statistics of a server, or of several.
type Meter struct {
	Connections int // that it has itself

	read  func(context.Context) (Traffic, error)
	close func()
	last  Traffic
	own   Traffic // what one reading adds
}

// RedisMeter returns a meter of Redis servers.
func RedisMeter(ctx context.Context, addrs ...string) (*Meter, error) {
	var clients []*redis.Client
	for _, addr := range addrs {
		clients = append(clients, redis.NewClient(&redis.Options{Addr: addr, PoolSize: 1}))
	}
	m := &Meter{
		Connections: len(addrs),
		read: func(ctx context.Context) (t Traffic, err error) {
			for _, client := range clients {
				info, err := client.Info(ctx, "stats", "memory", "cpu").Result()
				if err != nil {
					return t, err
				}
				t.Commands += field(info, "total_commands_processed")
				t.Bytes += field(info, "total_net_input_bytes") + field(info, "total_net_output_bytes")
				t.Memory += field(info, "used_memory")
				t.CPU += field(info, "used_cpu_user") + field(info, "used_cpu_sys")
			}
			return t, nil
		},
		close: func() {
			for _, client := range clients {
				client.Close()
			}
		},
	}
	// The first reading has a greeting before it.
	for range 3 {
		var err error
		if m.own, err = m.Read(ctx); err != nil {
			m.Close()
			return nil, err
		}
	}
	return m, nil
}

func field(info, name string) float64 {
	_, value, _ := strings.Cut(info, "\n"+name+":")
	value, _, _ = strings.Cut(value, "\r")
	n, _ := strconv.ParseFloat(value, 64)
	return n
}

// PostgresMeter returns a meter of the Postgres server.
func (w *Testbed) PostgresMeter(ctx context.Context) (*Meter, error) {
	conn, err := pgx.Connect(ctx, w.PostgresURL)
	if err != nil {
		return nil, err
	}
	m := &Meter{
		Connections: 1,
		read: func(ctx context.Context) (t Traffic, err error) {
			err = conn.QueryRow(ctx, "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()",
				pgx.QueryExecModeExec).Scan(&t.Commands)
			return t, err
		},
		close: func() { conn.Close(context.WithoutCancel(ctx)) },
		own:   Traffic{Commands: 1},
	}
	_, err = m.Read(ctx)
	return m, err
}

// Read returns the traffic since the last reading, that of the meter left out,
// and the growth of the memory.
func (m *Meter) Read(ctx context.Context) (Traffic, error) {
	now, err := m.read(ctx)
	grown := Traffic{
		Commands: max(0, now.Commands-m.last.Commands-m.own.Commands),
		Bytes:    max(0, now.Bytes-m.last.Bytes-m.own.Bytes),
		Memory:   now.Memory - m.last.Memory,
		CPU:      max(0, now.CPU-m.last.CPU-m.own.CPU),
	}
	m.last = now
	return grown, err
}

// Close ends the meter's connection.
func (m *Meter) Close() { m.close() }
