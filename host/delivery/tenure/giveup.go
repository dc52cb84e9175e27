package tenure

import (
	"context"
	"time"
)

// Handler is an open handler that is given up.
type Handler interface {
	// Suspend keeps attempts from starting; Wait waits until none is open, or ctx ends.
	Suspend()
	Wait(ctx context.Context) error
	// Flush waits until all present outcomes are written, or ctx ends.
	Flush(ctx context.Context) error
	// Unload drops everything that the handler has: nothing of it will be written.
	Unload()
}

// lastWrite bounds the write of what has ended when the attempts are cancelled.
const lastWrite = time.Second

// GiveUp gives a handler up: no attempt begins, and the open ones may end until ctx ends; then
// they are cancelled. Outcomes that cannot be written, or that are of a hold which is lost, are
// dropped: the next owner delivers the events again. It returns the error of the write.
func GiveUp(ctx context.Context, x *Hold, h Handler) error {
	x.leave()
	h.Suspend()
	defer h.Unload()
	inTime, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(x.attempt, stop)() // it may be lost meanwhile
	if h.Wait(inTime) != nil {
		x.cancel()
		_ = h.Wait(context.Background()) // the pools stop the attempts
		late, stop := context.WithTimeout(context.WithoutCancel(ctx), lastWrite)
		defer stop()
		ctx = late
	}
	if x.Lost() {
		return nil
	}
	return h.Flush(ctx)
}
