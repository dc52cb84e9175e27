package host

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"sync"

	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/plugin"
)

// byFiles is who drops, replaces and removes plugins' files in the audit log: who
// may write to a watched directory, and nobody knows better.
const byFiles = "the file system"

// maxNoted bounds the changes of files that wait to be written down; what comes
// beyond is counted.
const maxNoted = 4096

// fileLog writes what becomes of files in the watched directories into the audit
// log. The plugins' loop must not wait for the disk, so that is done beside it.
type fileLog struct {
	h    *Host
	more chan struct{} // there is something; one stands for any number

	mu         sync.Mutex
	waiting    []plugin.FileChange
	suppressed int
}

// startFileLog must come before the plugins are started: it ends after them, with
// everything written down.
func (h *Host) startFileLog() *fileLog {
	l := &fileLog{h: h, more: make(chan struct{}, 1)}
	h.background("the log of the plugins' files", func(ctx context.Context) {
		for {
			select {
			case <-l.more:
				l.write()
			case <-ctx.Done():
				l.write()
				return
			}
		}
	})
	return l
}

// note takes a change. It does not wait.
func (l *fileLog) note(c plugin.FileChange) {
	l.mu.Lock()
	if len(l.waiting) < maxNoted {
		l.waiting = append(l.waiting, c)
	} else {
		l.suppressed++
	}
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func (l *fileLog) write() {
	l.mu.Lock()
	changes, suppressed := l.waiting, l.suppressed
	l.waiting, l.suppressed = nil, 0
	l.mu.Unlock()
	for _, c := range changes {
		rec, err := recordOf(c)
		if err == nil {
			rec.Suppressed, suppressed = suppressed, 0
			err = l.h.audit.Append(rec)
		}
		if err != nil {
			l.h.logger.Error("what became of a plugin's file is not in the audit log", "path", c.Path, "error", err)
		}
	}
}

func recordOf(c plugin.FileChange) (rec audit.Record, err error) {
	rec = audit.Record{ID: rand.Text()[:16], Stage: audit.End, Action: "replace", Target: c.Name, Who: byFiles, Result: "ok"}
	switch {
	case c.Before == nil:
		rec.Action = "drop"
	case c.After == nil:
		rec.Action = "remove"
	}
	if c.After != nil && c.After.Refusal != "" {
		rec.Result, rec.Error = "failed", c.After.Refusal
	}
	if rec.Before, err = stateOf(c.Path, c.Before); err != nil {
		return rec, err
	}
	rec.After, err = stateOf(c.Path, c.After)
	return rec, err
}

// stateOf shows a file; nil when there is none.
func stateOf(path string, s *plugin.FileState) (json.RawMessage, error) {
	if s == nil {
		return nil, nil
	}
	asks := []string{}
	for _, a := range s.Manifest.Capabilities {
		asks = append(asks, a.Name)
	}
	return json.Marshal(map[string]any{"path": path, "sha256": s.SHA256, "version": s.Manifest.Version, "asks": asks})
}
