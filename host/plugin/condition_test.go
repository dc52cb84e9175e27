package plugin_test

import (
	"sync"
	"testing"

	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

func (w *world) say(state wire.PluginState, reason string) {
	w.setCondition(plugin.Condition{State: state, Reason: reason})
	w.m.ConditionChanged()
}

// TestConditionIsTheState: a running version's Condition becomes its state, which
// OnChange gets.
func TestConditionIsTheState(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	var seen []wire.PluginState
	w.config.OnChange = func(p wire.Plugin) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, p.State)
	}
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.run()
	active := w.waitFor("x", wire.Active, "1.0.0", "")
	w.say(wire.BreakerOpen, "3 attempts failed")
	open := w.waitFor("x", wire.BreakerOpen, "1.0.0", "3 attempts failed")
	if !open.Since.After(active.Since) || open.Lag != 7 {
		t.Errorf("got %+v after %+v", open, active)
	}
	w.say(wire.BreakerOpen, "4 attempts failed")
	if again := w.waitFor("x", wire.BreakerOpen, "1.0.0", "4 attempts failed"); !again.Since.Equal(open.Since) {
		t.Errorf("it opened at %v, and that became %v", open.Since, again.Since)
	}
	w.replace("x.wasm", []byte("rubbish that is no module"))
	w.waitFor("x", wire.BreakerOpen, "1.0.0", "4 attempts failed; still running")
	w.say("", "")
	w.waitFor("x", wire.Active, "1.0.0", "not a WebAssembly module")
	mu.Lock()
	defer mu.Unlock()
	opens := 0
	for _, s := range seen {
		if s == wire.BreakerOpen {
			opens++
		}
	}
	if opens < 2 || seen[len(seen)-1] != wire.Active {
		t.Errorf("told %v", seen)
	}
}

// Pausing and resuming reach the version that runs, and start nothing.
func TestPauseStartsNothing(t *testing.T) {
	w := newWorld(t)
	w.write("x.wasm", versioned("x", "1.0.0"))
	w.run()
	set := func(s spec.Settings, state wire.PluginState, reason string, starts int) {
		t.Helper()
		w.settings.set("x", s)
		w.reload(w.dir)
		w.m.ConditionChanged() // as the handler's condition does
		w.until("the starts", func() bool {
			w.fakes.mu.Lock()
			defer w.fakes.mu.Unlock()
			return w.starts >= starts
		})
		w.only("x", "1.0.0")
		w.waitFor("x", state, "1.0.0", reason)
	}
	set(spec.Settings{Enabled: true, Paused: true}, wire.Paused, "paused", 1)
	set(spec.Settings{Enabled: true, Paused: true, Limits: spec.Limits{Concurrency: 2}}, wire.Paused, "paused", 2)
	set(spec.Settings{Enabled: true, Limits: spec.Limits{Concurrency: 2}}, wire.Active, "", 2)
	set(spec.Settings{Enabled: true, Paused: true}, wire.Paused, "paused", 3)
	if w.starts != 3 {
		t.Errorf("%d starts, want 3: one at first, and one for each change of the concurrency", w.starts)
	}
}
