package versions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// open opens Versions over a store, with a clock that goes on by a second each time.
func open(t *testing.T, store Store) (*Versions, *bytes.Buffer) {
	t.Helper()
	now, log := noon, new(bytes.Buffer)
	v, err := Open(t.Context(), Config{Store: store, Now: func() time.Time { now = now.Add(time.Second); return now },
		Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return v, log
}

func shown(list []wire.VersionMarker) string {
	var texts []string
	for _, m := range list {
		texts = append(texts, fmt.Sprintf("%s %s %s %ds", m.Plugin, m.Version, m.SHA256, int(m.At.Sub(noon).Seconds())))
	}
	return strings.Join(texts, ", ")
}

func TestVersionsOutlastRestarts(t *testing.T) {
	store := bus.NewMemory(bus.MemoryConfig{})
	defer store.Close() //nolint:errcheck // it is memory
	v, _ := open(t, store)
	ctx := t.Context()
	v.Activated(ctx, "a", "11", "1.0.0")
	v.Activated(ctx, "b", "11", "7.0.0")
	v.Activated(ctx, "a", "22", "2.0.0")
	v.Activated(ctx, "a", "11", "1.0.0") // rolled back: it was active before
	v.Activated(ctx, "a", "", "none")
	if err := store.PutDocuments(ctx, []event.Document{{Kind: kind, ID: "a/33", Body: "{"}, {Kind: kind, ID: "a/44", Body: `{"plugin":"b"}`}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, want := shown(v.Markers("a")), "a 1.0.0 11 1s, a 2.0.0 22 3s"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got, want := shown(v.Markers("")), "a 1.0.0 11 1s, b 7.0.0 11 2s, a 2.0.0 22 3s"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := v.Of("a", "22") + "|" + v.Of("b", "22") + v.Of("c", "22") + "|" + v.Of("b", "11"); got != "2.0.0||7.0.0" {
			t.Errorf("got %s", got)
		}
		if v.Markers("c") == nil {
			t.Error("no markers are null")
		}
		d := wire.Delivery{Plugin: "a", SHA256: "22", History: []wire.PastAttempt{{SHA256: "11"}, {}}}
		if v.Name(&d); d.Version != "2.0.0" || d.History[0].Version != "1.0.0" || d.History[1].Version != "" {
			t.Errorf("got %+v", d)
		}
		v, _ = open(t, store)
	}
}

func TestVersionsAreBounded(t *testing.T) {
	store := bus.NewMemory(bus.MemoryConfig{})
	defer store.Close() //nolint:errcheck // it is memory
	v, _ := open(t, store)
	for i := range MaxOfHandler + 20 {
		v.Activated(t.Context(), "a", fmt.Sprint(i), "1.0.0")
	}
	again, _ := open(t, store)
	if got := v.Markers("a"); len(got) != MaxOfHandler || got[0].SHA256 != "20" || !slices.Equal(got, again.Markers("a")) {
		t.Errorf("%d are kept, %d are stored", len(got), len(again.Markers("a")))
	}
}

// failing is a Store that refuses documents.
type failing struct{ Store }

func (failing) PutDocuments(context.Context, []event.Document) error { return errors.New("disk full") }

func TestVersionThatIsNotStored(t *testing.T) {
	store := bus.NewMemory(bus.MemoryConfig{})
	defer store.Close() //nolint:errcheck // it is memory
	v, log := open(t, failing{store})
	if v.Activated(t.Context(), "a", "11", "1.0.0"); v.Of("a", "11") != "1.0.0" || !strings.Contains(log.String(), "disk full") {
		t.Errorf("%q, log %s", v.Of("a", "11"), log)
	}
}
