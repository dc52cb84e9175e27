package plugin_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// TestSlowLoadsDoNotKeepOthersWaiting: ten modules are with the Loader, and the
// eleventh gets there as well.
func TestSlowLoadsDoNotKeepOthersWaiting(t *testing.T) {
	w := newWorld(t)
	release, loading := make(chan struct{}), new(atomic.Int32)
	w.fakes.load = func(ctx context.Context, name, _ string) error {
		if name == "good" {
			return nil
		}
		loading.Add(1)
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil
	}
	for i := range 10 {
		name := fmt.Sprintf("slow%d", i)
		w.write(name+".wasm", versioned(name, "1.0.0"))
	}
	w.begin()
	w.until("all to be loading", func() bool { return loading.Load() == 10 })
	w.write("good.wasm", versioned("good", "1.0.0"))
	w.waitFor("good", wire.Active, "1.0.0", "")
	close(release)
	w.waitFor("slow9", wire.Active, "1.0.0", "")
}

// TestLargeModulesDoNotKeepSmallOnesWaiting: they have slots of their own.
func TestLargeModulesDoNotKeepSmallOnesWaiting(t *testing.T) {
	w := newWorld(t)
	release, loading := make(chan struct{}), new(atomic.Int32)
	w.fakes.load = func(ctx context.Context, name, _ string) error {
		if strings.HasPrefix(name, "large") {
			loading.Add(1)
			<-release
		}
		return nil
	}
	for i := range 4 {
		name := fmt.Sprintf("large%d", i)
		w.write(name+".wasm", append(versioned(name, "1.0.0"), padding(8<<20)...))
	}
	w.begin()
	w.until("some to be loading", func() bool { return loading.Load() >= 2 })
	w.write("small.wasm", versioned("small", "1.0.0"))
	w.waitFor("small", wire.Active, "1.0.0", "")
	close(release)
	for i := range 4 {
		w.waitFor(fmt.Sprintf("large%d", i), wire.Active, "1.0.0", "")
	}
}

// padding is a custom section of n bytes and some.
func padding(n int) []byte {
	body := append([]byte{3, 'p', 'a', 'd'}, make([]byte, n)...)
	size := len(body)
	return append([]byte{0, byte(size&0x7f | 0x80), byte(size>>7&0x7f | 0x80), byte(size>>14&0x7f | 0x80), byte(size >> 21 & 0x7f)}, body...)
}

// TestLoadThatIsLateIsNoFailure: the log does not warn, the state names what the plugin
// waits for, and it becomes active.
func TestLoadThatIsLateIsNoFailure(t *testing.T) {
	w := newWorld(t)
	log := new(bytes.Buffer) // a handler locks its writer; read when the Manager has ended
	w.config.Logger = slog.New(slog.NewTextHandler(log, nil))
	w.config.LoadTimeout = time.Second
	late := 1
	w.fakes.load = func(ctx context.Context, _, _ string) error {
		if late == 0 {
			return nil
		}
		late--
		<-ctx.Done()
		return fault.New(fault.Unavailable, "waiting to be vetted: %w", ctx.Err())
	}
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.begin()
	w.waitFor("x", wire.Vetting, "1.0.0", "waiting for processor")
	w.waitFor("x", wire.Discovered, "1.0.0", "waiting for processor: it was not checked and compiled within 1s")
	w.waitFor("x", wire.Active, "1.0.0", "")
	w.end()
	w.m = nil
	if text := log.String(); !strings.Contains(text, `level=INFO msg="plugin waiting for processor"`) || strings.Contains(text, "level=WARN") {
		t.Error(text)
	}
}
