package cluster

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/berth-host/berth/host/spec"
)

// jobs runs those of the cluster's jobs that this host owns.
type jobs struct {
	list map[string]func(ctx context.Context) error
	log  *slog.Logger

	mu      sync.Mutex
	running map[string]*job
}

type job struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

func newJobs(list map[string]func(ctx context.Context) error, log *slog.Logger) *jobs {
	return &jobs{list: list, log: log, running: make(map[string]*job)}
}

// Units implements Worker. Cluster lists the jobs by itself.
func (j *jobs) Units() []string { return nil }

// Own starts a job.
func (j *jobs) Own(ctx context.Context, unit string, t *Tenure) error {
	ctx, cancel := untilDone(spec.WithFence(context.WithoutCancel(ctx), t.fence), t)
	run := &job{cancel, make(chan struct{})}
	j.mu.Lock()
	j.running[unit] = run
	j.mu.Unlock()
	go func() {
		defer close(run.ended)
		j.run(ctx, unit)
	}()
	return nil
}

// run runs a job until ctx ends, again after it has returned.
func (j *jobs) run(ctx context.Context, unit string) {
	for wait := minRetry; ; wait = min(2*wait, maxRetry) {
		err := j.list[unit](ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			j.log.Error("a job of the cluster has failed: it is started again", "job", unit, "error", err, "wait", wait)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// Disown cancels a job and waits for its end.
func (j *jobs) Disown(_ context.Context, unit string) error {
	j.mu.Lock()
	run := j.running[unit]
	delete(j.running, unit)
	j.mu.Unlock()
	if run != nil {
		run.cancel()
		<-run.ended
	}
	return nil
}
