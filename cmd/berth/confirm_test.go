package main

import (
	"strings"
	"testing"

	"github.com/berth-host/berth/host/wire"
)

// What would go is shown, and nothing goes before the answer.
func TestUninstallAsks(t *testing.T) {
	file := complete[wire.Plugin](`{"name":"p","state":"active","file":"plugins/p\nq.wasm"}`)
	other := complete[wire.Plugin](`{"name":"q","state":"active","file":"plugins/q.wasm"}`)
	for answer, changed := range map[string]bool{"y\n": true, "n\n": false, "": false} {
		d := newDesk(t, map[string]string{"GET /api/v1/events/plugins/p": file, "GET /api/v1/events/plugins": `{"items":[` + file + `,` + other + `],"next":null}`, "DELETE /api/v1/plugins/uninstall/p": ""})
		var out, errs strings.Builder
		err := atTerminal(t, answer, &out, &errs, "plugin uninstall p")
		if did := strings.Contains(strings.Join(d.asked, " "), "DELETE"); did != changed || (err == nil) != changed {
			t.Errorf("%q: %v, asked %q", answer, err, d.asked)
		}
		if shown := errs.String(); !strings.Contains(shown, "the file plugins/p q.wasm (active)") || strings.Contains(shown, "q.wasm (rejected)") || strings.Contains(shown, "plugins/q.wasm") {
			t.Errorf("%q: shown is %s", answer, shown)
		}
	}
}
