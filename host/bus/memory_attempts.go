package bus

import (
	"cmp"
	"context"
	"slices"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// attempts are one handler's past attempts.
type attempts struct {
	of     map[uint64][]*event.PastAttempt // by Seq, in the order in which they ended
	logged []*event.PastAttempt            // those with logs, the oldest first, and others that have none any more
	bytes  int                             // of the logs
	void   int                             // how many of logged have none
}

// keepAttempt keeps the attempt that led to a delivery. The caller holds mu.
func (m *Memory) keepAttempt(d *event.Delivery) {
	a, kept := d.Past()
	if !kept {
		return
	}
	of := m.attempts[d.Handler]
	if of == nil {
		of = &attempts{of: make(map[uint64][]*event.PastAttempt)}
		m.attempts[d.Handler] = of
	}
	of.add(&a)
}

// add keeps an attempt, unless it is there: a caller that does not know whether it was
// stored stores it again.
func (o *attempts) add(a *event.PastAttempt) {
	list := o.of[a.Seq]
	if slices.ContainsFunc(list, func(b *event.PastAttempt) bool {
		return b.Number == a.Number && b.Status == a.Status && b.At.Equal(a.At)
	}) {
		return
	}
	lines, size := event.BoundedLogs(a.Logs)
	a.At, a.Logs = a.At.Round(0).UTC(), slices.Clone(lines)
	if list = append(list, a); len(list) > event.MaxPastAttempts {
		o.removeLogs(list[0])
		list = slices.Delete(list, 0, 1)
	}
	o.of[a.Seq] = list
	if size > 0 {
		o.bytes += size
		o.logged = append(o.logged, a)
	}
	for i := 0; o.bytes > spec.MaxHandlerLog; i++ {
		o.removeLogs(o.logged[i])
	}
	if o.void > len(o.logged)/2 {
		o.compact()
	}
}

func (o *attempts) removeLogs(a *event.PastAttempt) {
	if _, size := event.BoundedLogs(a.Logs); size > 0 {
		o.bytes -= size
		o.void++
	}
	a.Logs = nil
}

// compact removes the attempts from logged that have no logs any more.
func (o *attempts) compact() {
	o.logged = slices.DeleteFunc(o.logged, func(a *event.PastAttempt) bool { return a.Logs == nil })
	o.void = 0
}

// remove deletes the attempts of the Seqs that gone reports.
func (o *attempts) remove(gone func(seq uint64) bool) {
	for seq, list := range o.of {
		if !gone(seq) {
			continue
		}
		for _, a := range list {
			o.removeLogs(a)
		}
		delete(o.of, seq)
	}
	o.compact()
}

// Attempts implements State.
func (m *Memory) Attempts(ctx context.Context, seq uint64) ([]event.PastAttempt, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "read attempts"); err != nil {
		return nil, err
	}
	var list []event.PastAttempt
	for _, of := range m.attempts {
		for _, a := range of.of[seq] {
			list = append(list, *a)
		}
	}
	slices.SortStableFunc(list, func(a, b event.PastAttempt) int { return cmp.Compare(a.Handler, b.Handler) })
	return list, nil
}
