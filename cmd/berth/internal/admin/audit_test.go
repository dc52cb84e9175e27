package admin

import (
	"testing"

	"github.com/berth-host/berth/host/audit"
)

// TestAuditLineNamesEvent: the line of an action on an event has the event and the note, and not
// the state of the plugin, which does not change.
func TestAuditLineNamesEvent(t *testing.T) {
	const state = `{"state":"active"}`
	for request, tt := range map[string]struct {
		record audit.Record
		want   string
	}{
		"skip":    {audit.Record{Action: "skip", Request: "POST /api/v1/events/e-1/skip", Asked: []byte(`{"plugin":"p","note":"cancelled"}`), Before: []byte(state), After: []byte(state)}, "event e-1: cancelled"},
		"failed":  {audit.Record{Action: "retry", Request: "POST /api/v1/events/e-1/retry", Error: "it is ok"}, "event e-1: it is ok"},
		"copy":    {audit.Record{Action: "copy", Request: "POST /api/v1/events/e-1/copy", Asked: []byte(`{}`), After: []byte(`{"event_id":"e-2"}`)}, "event e-1 as e-2"},
		"by Seq":  {audit.Record{Action: "skip", Request: "POST /api/v1/events/skip", After: []byte(`{"seq":41}`)}, `{"seq":41}`},
		"redrive": {audit.Record{Action: "operations", Request: "POST /api/v1/operations", Asked: []byte(`{"kind":"redrive"}`), Before: []byte(state), After: []byte(state)}, `{"kind":"redrive"}`},
		"pause":   {audit.Record{Action: "pause", Request: "POST /api/v1/events/plugins/p/pause", Before: []byte(state), After: []byte(`{"state":"paused"}`)}, state + ` → {"state":"paused"}`},
	} {
		line := auditLine(tt.record)
		if got := line[len(line)-1]; got != tt.want {
			t.Errorf("%s: got %q, want %q", request, got, tt.want)
		}
	}
}
