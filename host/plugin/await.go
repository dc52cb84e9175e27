package plugin

import (
	"context"
	"slices"
	"time"
)

// stateWaiter is a caller that waits for a condition of the loop's state.
type stateWaiter struct {
	met    func() bool
	answer chan struct{}
}

// when waits until met returns true, and until List shows that state. The loop calls met
// after every change. After an error met is not called any more, and what it has written
// must not be read.
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

// rescan makes the loop scan the directories now; the result of a scan under way is
// dropped.
func (l *loop) rescan() {
	l.generation++
	l.scanDue = time.Now()
}
