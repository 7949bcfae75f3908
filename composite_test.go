package dlock_test

import (
	"context"
	"testing"

	"github.com/dlock-go/dlock"
	"github.com/dlock-go/dlock/backend/memory"
)

// Locks of one name in two stores are two locks.
func TestCompositeOverStores(t *testing.T) {
	var clients [2]*dlock.Client
	for i := range clients {
		c, err := dlock.New(memory.New())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(context.Background())
		clients[i] = c
	}
	both := dlock.All(clients[0].Mutex("x"), clients[1].Mutex("x"))
	h, err := both.TryAcquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		if c.Mutex("x").TryLock() {
			t.Error("a part of a composite is free")
		}
	}
	if err := h.Release(context.Background()); err != nil {
		t.Error(err)
	}
}
