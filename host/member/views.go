package member

import (
	"context"
	"sync"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/issues"
	"github.com/berth-host/berth/host/operations"
	"github.com/berth-host/berth/host/schedules"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

const (
	freshFor    = time.Second     // what another host keeps is read again after this time
	refreshTime = 2 * time.Second // for one read; after it the former view is shown
)

// view reads again what other hosts keep, at most once in freshFor.
type view struct {
	refresh func(context.Context) error
	mu      sync.Mutex
	at      time.Time
}

// Expire has the next call read again what other hosts keep: one of them has changed it for this host.
func (v *view) Expire() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.at = time.Time{}
}

// shownFresh returns what show returns once the view is fresh. What is not found is looked for again in
// what another host has stored since.
func shownFresh[T any](v *view, show func(id string) (T, error), id string) (T, error) {
	v.freshen()
	found, err := show(id)
	if fault.Is(err, fault.NotFound) {
		v.Expire()
		v.freshen()
		return show(id)
	}
	return found, err
}

func (v *view) freshen() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if time.Since(v.at) < freshFor {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), refreshTime)
	defer cancel()
	if v.refresh(ctx) == nil { // otherwise readiness reports the database
		v.at = time.Now()
	}
}

// IssueViews is the issues of all hosts.
type IssueViews struct {
	*issues.Tracker
	*view
}

// NewIssueViews returns the issues of a tracker and of the other hosts.
func NewIssueViews(t *issues.Tracker) IssueViews { return IssueViews{t, &view{refresh: t.Refresh}} }

// List implements incident.Issues.
func (v IssueViews) List(q spec.IssueQuery) (wire.List[wire.Issue], error) {
	v.freshen()
	return v.Tracker.List(q)
}

// Show implements incident.Issues.
func (v IssueViews) Show(id string) (wire.Issue, error) {
	return shownFresh(v.view, v.Tracker.Show, id)
}

// OperationViews is the operations, also while another host runs them.
type OperationViews struct {
	*operations.Runner
	*view
}

// NewOperationViews returns the operations of a runner that RunOperations resumes.
func NewOperationViews(r *operations.Runner) OperationViews {
	return OperationViews{r, &view{refresh: r.Refresh}}
}

// List implements incident.Operations.
func (v OperationViews) List(q spec.OperationQuery) (wire.List[wire.Operation], error) {
	v.freshen()
	return v.Runner.List(q)
}

// Show implements incident.Operations.
func (v OperationViews) Show(id string) (wire.Operation, error) {
	return shownFresh(v.view, v.Runner.Show, id)
}

// Schedules is the schedules, also while another host publishes their events. It is safe for
// concurrent use.
type Schedules struct {
	*schedules.Runner
	view *view

	mu      sync.Mutex
	running bool
}

// NewSchedules returns the schedules of a runner: one that Publish runs if hosts share it.
func NewSchedules(r *schedules.Runner, shared bool) *Schedules {
	s := &Schedules{Runner: r, running: !shared}
	s.view = &view{refresh: s.load}
	return s
}

// load reads the positions that another host has stored.
func (s *Schedules) load(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		return nil
	}
	return s.Runner.Load(ctx)
}

// List implements catalog.Schedules.
func (s *Schedules) List() []wire.Schedule {
	s.view.freshen()
	return s.Runner.List()
}

// Publish is the job that publishes the events until ctx ends, as cluster.Config.Jobs has it.
func (s *Schedules) Publish(ctx context.Context) error {
	s.mu.Lock()
	err := s.Runner.Load(ctx)
	s.running = err == nil
	s.mu.Unlock()
	if err != nil {
		return err
	}
	defer func() {
		s.mu.Lock()
		s.running = false
		s.mu.Unlock()
	}()
	s.Runner.Run(ctx)
	return nil
}

// stopTime bounds the end of operations that another host continues.
const stopTime = 10 * time.Second

// RunOperations returns the job that runs operations until its context ends.
func RunOperations(r *operations.Runner) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := r.Resume(ctx); err != nil {
			return err
		}
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		return r.Suspend(stop)
	}
}
