package plan

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// tally counts what one handler gets under both configurations.
type tally struct {
	present, next         Handler
	known, planned        bool // the handler is in the present and in the new configuration
	takes, wouldTake      uint64
	gained, lost          uint64
	failed, failsNow      uint64
	gains, losses, errors samples
	keys                  keyCounts
}

func newTally(present, next map[string]Handler, name string) *tally {
	t := &tally{keys: keyCounts{counts: make(map[string]uint64)}}
	t.present, t.known = present[name]
	t.next, t.planned = next[name]
	return t
}

// note counts one event.
func (t *tally) note(rec event.Record) {
	var takes, wouldTake bool
	var err error
	if t.known {
		if takes, err = t.present.Takes(rec.Event); err != nil {
			t.failsNow++
		}
	}
	if t.planned {
		if wouldTake, err = t.next.Takes(rec.Event); err != nil {
			t.failed++
			t.errors.add(rec, err.Error())
		}
	}
	if takes {
		t.takes++
	}
	if wouldTake {
		t.wouldTake++
		if t.next.OrderBy != "" {
			key, _ := strictjson.Get(rec.Event.Envelope(), t.next.OrderBy)
			t.keys.add(key)
		}
	}
	switch {
	case wouldTake && !takes:
		t.gained++
		t.gains.add(rec, "")
	case takes && !wouldTake:
		t.lost++
		t.losses.add(rec, "")
	}
}

// handler returns the counts.
func (t *tally) handler(name string) wire.PlannedHandler {
	return wire.PlannedHandler{
		Plugin: name, Change: t.change(), Takes: t.takes, WouldTake: t.wouldTake, Gained: t.gained, Lost: t.lost,
		GainedEvents: t.gains.list(), LostEvents: t.losses.list(),
		Failed:  wire.PlannedFailures{Count: t.failed, Now: t.failsNow, Events: t.errors.list()},
		OrderBy: t.next.OrderBy, OrderChanged: t.known && t.planned && t.present.OrderBy != t.next.OrderBy,
		HottestKeys: t.keys.hottest(t.wouldTake),
		Batch:       max(1, t.next.Batch), BatchChanged: t.known && t.planned && max(1, t.present.Batch) != max(1, t.next.Batch),
		LostGrants: t.lostGrants(),
	}
}

// lostGrants returns the capabilities that the handler requests and is not granted any more, or
// requests for the first time.
func (t *tally) lostGrants() []string {
	lost := []string{}
	for _, name := range t.next.Missing {
		if !slices.Contains(t.present.Missing, name) {
			lost = append(lost, name)
		}
	}
	return lost
}

// change says how the handler itself changes.
func (t *tally) change() string {
	switch {
	case !t.known:
		return "added"
	case !t.planned:
		return "removed"
	case t.present.Waits == t.next.Waits:
		return ""
	case t.next.Waits != "":
		return t.next.Waits
	case t.present.Waits == "paused":
		return "resumed"
	}
	return "enabled"
}

// samples are the first events of a kind.
type samples []wire.PlannedEvent

func (s *samples) add(rec event.Record, reason string) {
	if len(*s) < maxSamples {
		*s = append(*s, wire.PlannedEvent{Seq: rec.Seq, EventID: rec.Event.ID(), EventType: string(rec.Event.Type()),
			Subject: rec.Event.Subject(), Reason: event.Headline(reason, 300)})
	}
}

// list returns them in the order of the log.
func (s samples) list() []wire.PlannedEvent {
	slices.SortFunc(s, func(a, b wire.PlannedEvent) int { return cmp.Compare(a.Seq, b.Seq) })
	return append([]wire.PlannedEvent{}, s...)
}

const (
	maxKeys  = 1000 // that one handler counts at a time
	maxShown = 120  // bytes of a key that is counted as it is
)

// keyCounts counts the most frequent keys of any number, in bounded memory (Misra and Gries,
// 1982): a count is at most 1/maxKeys of all events too low, and never too high.
type keyCounts struct{ counts map[string]uint64 }

// add counts an event with a key; "" is not counted.
func (k *keyCounts) add(key string) {
	if key == "" {
		return
	}
	if len(key) > maxShown { // distinct keys remain distinct
		sum := sha256.Sum256([]byte(key))
		key = fmt.Sprintf("%.60s… (sha256 %x…)", key, sum[:8])
	}
	if _, counted := k.counts[key]; counted || len(k.counts) < maxKeys {
		k.counts[key]++
		return
	}
	for other := range k.counts {
		if k.counts[other]--; k.counts[other] == 0 {
			delete(k.counts, other)
		}
	}
}

// hottest returns the most frequent keys of this many events.
func (k *keyCounts) hottest(events uint64) []wire.PlannedKey {
	list := make([]wire.PlannedKey, 0, len(k.counts))
	for key, n := range k.counts {
		list = append(list, wire.PlannedKey{Key: key, Events: n, Share: float64(n) / float64(max(1, events))})
	}
	slices.SortFunc(list, func(a, b wire.PlannedKey) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), cmp.Compare(a.Key, b.Key))
	})
	return list[:min(maxSamples, len(list))]
}
