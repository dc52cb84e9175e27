package store

import (
	"context"
	"time"
)

const (
	paceGoal  = 3 * time.Millisecond  // of the writer's time for one step of a long task
	paceStart = 32                    // the size of the first step
	pacePause = 20 * time.Millisecond // at most, between two steps
)

// pace sizes the steps of a long task of the writer, such as a trim of a million
// events. Publishers wait for the step that is under way, so each takes about
// paceGoal, and the task pauses for as long as its last step took: it uses at most
// half of the writer's time.
type pace struct {
	step int           // of the next step, in events or pages
	max  int           // of a step
	took time.Duration // the writer's time for the last step
}

func newPace(max int) *pace { return &pace{step: min(paceStart, max), max: max} }

// done sizes the next step by the duration of the last one.
func (p *pace) done(took time.Duration) {
	p.took = took
	switch {
	case took > 2*paceGoal:
		p.step = max(1, p.step/2)
	case took < paceGoal/2:
		p.step = min(p.max, 2*p.step)
	}
}

// paced runs one step of a long task in a transaction of its own: an error of the part
// of the file that it works on is not a publisher's.
func (s *Store) paced(ctx context.Context, doing string, p *pace, step func(g *group) error) error {
	var took time.Duration // without the commit, which publishers of the group wait for anyway
	err := s.submit(ctx, doing, &op{events: p.step, alone: true, run: func(g *group) error {
		began := time.Now()
		defer func() { took = time.Since(began) }()
		return step(g)
	}})
	if err == nil {
		p.done(took)
	}
	return err
}

// pause leaves the writer to others between two steps.
func (s *Store) pause(ctx context.Context, doing string, p *pace) error {
	timer := time.NewTimer(min(p.took, pacePause))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return s.coded(doing, ctx.Err())
	case <-s.closing:
		return s.coded(doing, errClosed())
	}
}
