package host

import (
	"crypto/rand"
	"encoding/json"

	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/plugin"
)

// byFiles is the actor of changed plugin files in the audit log: the user who wrote
// them is unknown.
const byFiles = "the file system"

// auditFiles starts the queue of the audit log for changes of plugin files. Call it
// before the plugins start, so that it is written after they have ended.
func (h *Host) auditFiles() func(plugin.FileChange) {
	queue := audit.NewQueue(h.audit, h.logger)
	h.background("the audit of the plugin files", queue.Run)
	return func(c plugin.FileChange) { queue.Add(recordOf(c)) }
}

// recordOf returns the audit record of a changed file.
func recordOf(c plugin.FileChange) audit.Record {
	rec := audit.Record{ID: rand.Text()[:16], Stage: audit.End, Action: "replace", Target: c.Name, Who: byFiles, Result: "ok",
		Before: stateOf(c.Path, c.Before), After: stateOf(c.Path, c.After)}
	switch {
	case c.Before == nil:
		rec.Action = "drop"
	case c.After == nil:
		rec.Action = "remove"
	}
	if c.After != nil && c.After.Refusal != "" {
		rec.Result, rec.Error = "failed", c.After.Refusal
	}
	return rec
}

// stateOf encodes the state of a file; nil for a missing one.
func stateOf(path string, s *plugin.FileState) json.RawMessage {
	if s == nil {
		return nil
	}
	asks := []string{}
	for _, a := range s.Manifest.Capabilities {
		asks = append(asks, a.Name)
	}
	text, _ := json.Marshal(map[string]any{"path": path, "sha256": s.SHA256, "version": s.Manifest.Version, "asks": asks}) // cannot fail
	return text
}
