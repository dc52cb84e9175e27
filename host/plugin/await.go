package plugin

import (
	"context"
	"slices"
	"time"
)

// stateWaiter waits for something about the loop's state.
type stateWaiter struct {
	met    func() bool
	answer chan struct{}
}

// when waits until met answers true, and until that can be seen in List. The
// loop calls it now and whenever something may have changed. After an error it
// is not called any more; what it has noted is then not to be looked at.
func (m *Manager) when(ctx context.Context, doing string, met func(*loop) bool) error {
	w := &stateWaiter{answer: make(chan struct{})}
	if err := m.ask(ctx, doing, func(l *loop) {
		w.met = func() bool { return met(l) }
		l.awaitState = append(l.awaitState, w)
	}); err != nil {
		return err
	}
	err := m.await(ctx, doing, w.answer)
	if err != nil {
		_ = m.ask(context.WithoutCancel(ctx), doing, func(l *loop) {
			l.awaitState = slices.DeleteFunc(l.awaitState, func(o *stateWaiter) bool { return o == w })
		})
	}
	return err
}

func (l *loop) checkState() {
	l.awaitState = slices.DeleteFunc(l.awaitState, func(w *stateWaiter) bool {
		met := !l.closing && w.met()
		if met {
			l.answers = append(l.answers, w.answer)
		}
		return met
	})
}

// lookAgain has the directories looked at at once; what a look finds that is
// under way is not taken in.
func (l *loop) lookAgain() {
	l.generation++
	l.scanDue = time.Now()
}
