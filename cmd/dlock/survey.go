package main

import (
	"context"
	"log/slog"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend"
)

// survey finds out who is there for the locks of the job's name. It opens no
// session: it is no party to them.
func (j *job) survey(store backend.Backend) (dlock.Inspection, exit) {
	client, err := dlock.New(store, dlock.WithNamespace(j.namespace), dlock.WithLogger(slog.New(messenger{least: slog.LevelWarn})))
	if err != nil {
		return dlock.Inspection{}, failed(err)
	}
	defer closeInTime(client, closeTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), reach)
	defer cancel()
	found, err := client.Inspect(ctx, j.name)
	if err != nil {
		return dlock.Inspection{}, failed(err)
	}
	return found, exit{}
}
