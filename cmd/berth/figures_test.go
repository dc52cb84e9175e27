package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/berth-host/berth/host/wire"
)

// TestCountersReportOutcomes: a handler that was content with an event whose
// child could not be published has failed, in the figures too.
func TestCountersReportOutcomes(t *testing.T) {
	dir, config, plugins := workplace(t)
	write(t, config, []byte("plugin_directories: ["+plugins+"]\nroutes: {\"*\": {}}\nhandlers: {emitter: {grants: [emit]}}\n"))
	write(t, filepath.Join(plugins, "emitter.wasm"), guest(t, "emit_children"))
	write(t, filepath.Join(plugins, "emitter.wasm.json"), []byte(`{"name":"emitter","version":"1.0.0","subscribes":[{"event_type":"parent"}],`+
		`"capabilities":[{"name":"emit","event_types":["child"]}]}`))
	s := serve(t, dir, config)
	s.active(t, "emitter")
	for i, want := range []string{"ok", "dead"} {
		var r wire.Receipt
		body := fmt.Sprintf(`{"event_type":"parent","data":{"child":{"event_type":"child","data":%d,"metadata":{"idempotency_key":"one"}}}}`, i)
		if _, err := s.Call(t.Context(), "POST", "/api/v1/events", json.RawMessage(body), &r); err != nil {
			t.Fatal(err)
		}
		await(t, fmt.Sprintf("the event %d is %s", i, want), func() error {
			var ev wire.Event
			if _, err := s.Call(t.Context(), "GET", "/api/v1/events/"+r.EventID, nil, &ev); err != nil {
				return err
			}
			if len(ev.Deliveries) != 1 || ev.Deliveries[0].Status != want {
				return fmt.Errorf("deliveries: %+v", ev.Deliveries)
			}
			return nil
		})
	}
	await(t, "the counters report the outcomes", func() error {
		p, err := s.plugin(t, "emitter")
		if err == nil && (p.Delivered != 1 || p.Failed != 1) {
			err = fmt.Errorf("%d delivered, %d failed", p.Delivered, p.Failed)
		}
		return err
	})
}
