package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
)

// heirs are the command and all its children that have a pipe open which it inherits from
// dlock. Its end tells that none of them is left.
type heirs struct {
	near, far *os.File
	gone      chan struct{} // closed when the pipe has ended
}

// bequeath has a command that is to be started inherit the pipe.
func bequeath(cmd *exec.Cmd) (*heirs, error) {
	near, far, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("a pipe for the command: %w", err)
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, far)
	return &heirs{near, far, make(chan struct{})}, nil
}

// begin waits for the end from now on, when the command has been started.
func (h *heirs) begin() {
	if h == nil {
		return
	}
	h.far.Close()
	go h.watch()
}

func (h *heirs) watch() {
	defer close(h.gone)
	_, _ = io.Copy(io.Discard, h.near)
}

func (h *heirs) close() {
	if h == nil {
		return
	}
	h.near.Close()
	h.far.Close()
}
