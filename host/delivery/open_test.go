package delivery_test

import (
	"strings"
	"testing"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/fault"
)

// A name is one open handler's: a second Open is refused and disturbs the first in
// nothing, and the name is free again when that is closed.
func TestSecondOpenOfOneName(t *testing.T) {
	f := setUp(t)
	first := f.open(t, "h", delivery.Policy{})
	stop := work(first, 1, ok)
	defer stop()
	second, err := f.d.Open(t.Context(), delivery.HandlerConfig{Name: "h"})
	if second != nil || !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "handler h is open already") {
		t.Fatalf("got %v, %v; want a conflict", second, err)
	}
	f.open(t, "other", delivery.Policy{})
	f.log.publish(t, "a")
	f.store.await(t, "the first one's outcome", func() bool { return f.store.finals("h") == 1 })
	if !f.d.IsOpen("h") || !f.d.IsOpen("other") || f.d.IsOpen("none") {
		t.Error("the open handlers are h and other")
	}
	stop()
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.d.IsOpen("h") {
		t.Error("h is still open")
	}
	again := f.open(t, "h", delivery.Policy{})
	defer work(again, 1, ok)()
	f.log.publish(t, "b")
	f.store.await(t, "the next one's outcome", func() bool { return f.store.finals("h") == 2 })
}
