package outcomes

import "github.com/berth-host/berth/host/event"

// Answers are those of the store to the outcomes of one handler that it stored in another
// form, by Seq; see event.Saved.
type Answers struct {
	Refused, Conflicts map[uint64]*event.Delivery // nil without any
}

// AnswersTo returns the answers to a handler.
func AnswersTo(handler string, saved event.Saved) Answers {
	return Answers{only(handler, saved.Refused), only(handler, saved.Conflicts)}
}

func only(handler string, list []event.Delivery) (own map[uint64]*event.Delivery) {
	for i := range list {
		if list[i].Handler != handler {
			continue
		}
		if own == nil {
			own = make(map[uint64]*event.Delivery)
		}
		own[list[i].Seq] = &list[i]
	}
	return own
}

// Release releases the effects of outcomes that are dropped, once for those of a batch.
func Release[S any](dropped []Full[S]) {
	var last *event.Effects
	for _, o := range dropped {
		if o.Effects != last && o.Effects != nil && o.Effects.Release != nil {
			o.Effects.Release()
		}
		last = o.Effects
	}
}
