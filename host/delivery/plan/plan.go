// Package plan decides how the attempts of a batch end, which one call of a guest has handled.
package plan

import (
	"github.com/berth-host/berth/host/delivery/breaker"
	"github.com/berth-host/berth/host/event"
)

// Plan says how the attempts of a batch end. It has their indexes.
type Plan struct {
	Done    []int            // these have an outcome
	Back    []int            // these return to the queue: the host stopped them, or they are in conflict
	Judged  int              // the one of Done that the breaker gets, for the batch is one attempt
	Dropped []*event.Effects // of those in conflict, each once
}

// Make makes the plan for the outcomes of a batch. join is called once for the effects that
// outcomes share, and reports whether they can be committed.
func (p *Plan) Make(list []event.Outcome, join func(*event.Effects) bool) {
	var last *event.Effects
	joined := false
	for i := range list {
		o := &list[i]
		if o.Effects != nil && o.Effects != last {
			last = o.Effects
			if joined = join(last); !joined {
				p.Dropped = append(p.Dropped, last)
			}
		}
		if o.Class == event.ClassCancelled || o.Effects != nil && !joined {
			p.Back = append(p.Back, i)
			continue
		}
		if len(p.Done) == 0 || breaker.CountsAgainst(o.Class) && !breaker.CountsAgainst(list[p.Judged].Class) {
			p.Judged = i
		}
		p.Done = append(p.Done, i)
	}
}
