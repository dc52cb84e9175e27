package plugin_test

import (
	"context"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// TestDecisionsAboutAPluginWaitForEachOther, and not for those about other plugins.
func TestDecisionsAboutAPluginWaitForEachOther(t *testing.T) {
	w := newWorld(t)
	persisting, resume := make(chan string), make(chan struct{})
	w.config.SetEnabled = func(ctx context.Context, name string, enabled bool) error {
		if name == "x" {
			persisting <- name
			<-resume
		}
		return w.settings.setEnabled(ctx, name, enabled)
	}
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.write("y.wasm", versioned("y", "1.0.0"))
	w.run()
	results := make(chan error, 3)
	disable := func(enabled bool) { _, err := w.m.SetEnabled(w.bound(), "x", enabled); results <- err }
	go disable(false)
	<-persisting
	if p, err := w.m.SetEnabled(w.bound(), "y", false); err != nil || p.State != wire.Disabled {
		t.Errorf("another plugin: %+v, %v", p, err)
	}
	expired, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.m.SetEnabled(expired, "x", true); !fault.Is(err, fault.Timeout) {
		t.Errorf("got %v while another decision is persisted", err)
	}
	go disable(true)
	go func() { results <- w.m.Uninstall(w.bound(), "x", nil) }()
	resume <- struct{}{}
	for n := 0; n < 3; {
		select {
		case <-persisting: // the second decision, unless the plugin is gone by then
			resume <- struct{}{}
		case err := <-results:
			if n++; err != nil && !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.NotFound) {
				t.Error(err)
			}
		}
	}
	w.waitGone("x")
	if _, err := w.m.SetEnabled(w.bound(), "x", true); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v after the uninstallation", err)
	}
}

// The API recovers a panic of the code that persists a decision. The name is free again.
func TestPanicWhilePersistingFreesTheName(t *testing.T) {
	w := newWorld(t)
	w.config.Pins = []spec.Pin{w.pinned(t.TempDir(), "x", versioned("x", "1.0.0"))}
	persist := w.config.SetEnabled
	panics := true
	w.config.SetEnabled = func(ctx context.Context, name string, enabled bool) error {
		if panics {
			panic("persist")
		}
		return persist(ctx, name, enabled)
	}
	w.run()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic reached the caller")
			}
		}()
		_, _ = w.m.SetEnabled(w.bound(), "x", false)
	}()
	panics = false
	if _, err := w.m.SetEnabled(w.bound(), "x", false); err != nil {
		t.Error(err)
	}
}
