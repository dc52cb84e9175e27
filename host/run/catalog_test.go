package run

import (
	"log/slog"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/eventtypes"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// never is a schema that refuses everything.
type never struct{}

func (never) Check(string) (pointer, reason string, work int) { return "", "must not be", 1 }

// TestKeyThatIsTakenIsRecognisedFirst: the schema has become stricter since the events were stored, of which
// one is not due yet.
func TestKeyThatIsTakenIsRecognisedFirst(t *testing.T) {
	window := bus.NewWindow(bus.WindowConfig{Events: 16})
	log := bus.NewMemory(bus.MemoryConfig{Window: window})
	defer log.Close() //nolint:errcheck // it is memory
	b, err := bus.New(bus.Config{Log: log, Window: window})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	table, _ := eventtypes.Compile(nil, nil)
	checked := NewCheckedBus(b, func() *eventtypes.Table { return table }, log, slog.New(slog.DiscardHandler))
	publish := func(key string, after time.Duration) event.Receipt {
		t.Helper()
		ev, err := event.New(event.Draft{Type: "t", IdempotencyKey: key, Deferral: event.Deferral{After: after}})
		if err != nil {
			t.Fatal(err)
		}
		receipts, err := checked.PublishEvents(t.Context(), []*event.Event{ev})
		if err != nil {
			t.Fatal(err)
		}
		return receipts[0]
	}
	publish("now", 0)
	publish("later", time.Hour)
	table, _ = eventtypes.Compile([]spec.EventType{{Type: "t", Schema: []byte("{}")}}, func([]byte) (eventtypes.Schema, error) { return never{}, nil })
	for _, key := range []string{"now", "later"} {
		if r := publish(key, 0); r.Err != nil || !r.Duplicate {
			t.Errorf("%s: got %+v", key, r)
		}
	}
	if r := publish("other", 0); !fault.Is(r.Err, fault.Invalid) {
		t.Errorf("got %+v", r)
	}
	if n := checked.Types.Violations()["t"]; n != 1 {
		t.Errorf("got %d violations", n)
	}
}
