package main

import (
	"strings"
	"testing"

	"github.com/berth-host/berth/host/wire"
)

// Only y and yes are a yes, and only at a terminal.
func TestConfirm(t *testing.T) {
	for _, tt := range []struct {
		answer   string
		terminal bool
		yes      bool
	}{
		{"y\n", true, true}, {"yes\n", true, true}, {" YES \r\n", true, true}, {"y", true, true},
		{"", true, false}, {"\n", true, false}, {"n\n", true, false}, {"yess\n", true, false}, {"no\ny\n", true, false}, {"\ny\n", true, false},
		{strings.Repeat(" ", 2000) + "y\n", true, false},
		{"y\n", false, false}, {"yes\n", false, false}, {"", false, false},
	} {
		var asked strings.Builder
		a := &app{stdin: strings.NewReader(tt.answer), stderr: &asked, atTerminal: tt.terminal}
		err := a.confirm("Sure?", "nothing was done")
		if (err == nil) != tt.yes || err != nil && err.Error() != "nothing was done" {
			t.Errorf("%q at a terminal (%v): %v", tt.answer, tt.terminal, err)
		}
		if strings.Contains(asked.String(), "Sure? [y/N]") != tt.terminal {
			t.Errorf("%q at a terminal (%v): asked is %q", tt.answer, tt.terminal, &asked)
		}
	}
}

// What would go is shown, and nothing goes before the answer.
func TestUninstallAsks(t *testing.T) {
	file := complete[wire.Plugin](`{"name":"p","state":"active","file":"plugins/p\nq.wasm"}`)
	other := complete[wire.Plugin](`{"name":"q","state":"active","file":"plugins/q.wasm"}`)
	for answer, changed := range map[string]bool{"y\n": true, "n\n": false, "": false} {
		d := newDesk(t, map[string]string{"GET /api/v1/events/plugins/p": file, "GET /api/v1/events/plugins": `{"items":[` + file + `,` + other + `],"next":null}`, "DELETE /api/v1/plugins/uninstall/p": ""})
		var out, errs strings.Builder
		a := &app{stdin: strings.NewReader(answer), stdout: &out, stderr: &errs, atTerminal: true}
		cmd := a.pluginUninstall()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs([]string{"p"})
		err := cmd.ExecuteContext(t.Context())
		if did := strings.Contains(strings.Join(d.asked, " "), "DELETE"); did != changed || (err == nil) != changed {
			t.Errorf("%q: %v, asked %q", answer, err, d.asked)
		}
		if shown := errs.String(); !strings.Contains(shown, "the file plugins/p q.wasm (active)") || strings.Contains(shown, "q.wasm (rejected)") || strings.Contains(shown, "plugins/q.wasm") {
			t.Errorf("%q: shown is %s", answer, shown)
		}
	}
}
