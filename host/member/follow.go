package member

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/berth-host/berth/host/fault"
)

// retryAfter is the time after a change could not be followed.
const retryAfter = time.Second

// Follower calls a function when the shared documents of its kind have changed. It is safe for
// concurrent use.
type Follower struct {
	follow  map[string]func(context.Context) error
	logger  *slog.Logger
	changed map[string]chan struct{} // a token for each kind

	mu     sync.Mutex
	newest map[string]uint64 // the revisions that were seen last, by kind
}

// NewFollower returns a Follower of these kinds. A function that fails is called again after a
// second; after fault.Invalid, which only another change can repair, with the next revision.
func NewFollower(follow map[string]func(context.Context) error, logger *slog.Logger) *Follower {
	f := &Follower{follow: follow, logger: logger, changed: make(map[string]chan struct{})}
	for kind := range follow {
		f.changed[kind] = make(chan struct{}, 1)
	}
	return f
}

// See takes the newest revisions; it is cluster.Config.Changed.
func (f *Follower) See(revisions map[string]uint64) {
	f.mu.Lock()
	f.newest = revisions
	f.mu.Unlock()
	for _, changed := range f.changed {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}

// Run follows until ctx ends. A kind that takes long does not delay the others.
func (f *Follower) Run(ctx context.Context) {
	var running sync.WaitGroup
	for kind := range f.follow {
		running.Go(func() { f.run(ctx, kind) })
	}
	running.Wait()
}

func (f *Follower) run(ctx context.Context, kind string) {
	followed, failing := uint64(0), false
	retry := time.NewTimer(0)
	retry.Stop()
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.changed[kind]:
		case <-retry.C:
		}
		f.mu.Lock()
		newest := f.newest[kind]
		f.mu.Unlock()
		if followed == newest {
			continue
		}
		err := f.follow[kind](ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil || fault.Is(err, fault.Invalid) {
			followed = newest
		} else {
			retry.Reset(retryAfter)
		}
		switch {
		case err != nil && !failing:
			f.logger.Error("changes of other hosts not followed", "kind", kind, "error", err)
		case err == nil && failing:
			f.logger.Info("changes of other hosts are followed again", "kind", kind)
		}
		failing = err != nil
	}
}
