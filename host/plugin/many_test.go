package plugin_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/wire"
)

// TestStartOfManyIsLinear counts the operations over all plugins during a start of many:
// publishing them and sorting their files. Each plugin changes several times during the
// start.
func TestStartOfManyIsLinear(t *testing.T) {
	const many = 256
	w := newWorld(t)
	for i := range many {
		w.write(fmt.Sprintf("p%03d.wasm", i), module("", "well"))
	}
	began := time.Now()
	w.run()
	publishes, sorts, err := w.m.Publishes(w.bound())
	if err != nil {
		t.Fatal(err)
	}
	// With so many, a publish comes every 100 µs for each view, and for each caller that waits.
	if limit := int(time.Since(began)/(many*100*time.Microsecond)) + 8; publishes > limit {
		t.Errorf("%d publishes, want at most %d", publishes, limit)
	}
	if sorts > 4 {
		t.Errorf("the files were sorted %d times", sorts)
	}
	active := 0
	for _, p := range w.m.List() {
		if p.State == wire.Active {
			active++
		}
	}
	if active != many {
		t.Errorf("%d of %d are active", active, many)
	}
	w.write("one-more.wasm", module("", "well"))
	w.waitFor("one-more", wire.Active, "", "")
}

// TestClaimsOfAStartGoTogether lets no claim return before all have begun: as many
// as there are go to the disk with one fsync then.
func TestClaimsOfAStartGoTogether(t *testing.T) {
	const many = 40
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var begins atomic.Int32
	begun := make(chan struct{})
	w.claim = func(string) error {
		if begins.Add(1) == many {
			close(begun)
		}
		select {
		case <-begun:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for i := range many {
		w.write(fmt.Sprintf("p%03d.wasm", i), module("", "well"))
	}
	w.run()
}
