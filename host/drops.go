package host

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"sync"
	"time"

	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/plugin"
)

// byFiles is who drops, replaces and removes plugins' files in the audit log: who
// may write to a watched directory, and nobody knows better.
const byFiles = "the file system"

const (
	// maxNoted bounds the changes of files that wait to be written down; what comes
	// beyond is counted.
	maxNoted = 4096
	// writeTogether bounds the changes that are written with one fsync.
	writeTogether = 128
	// writeAgain is when what could not be written down is tried again.
	writeAgain = time.Second
)

// fileLog writes what becomes of files in the watched directories into the audit
// log. The plugins' loop must not wait for the disk, so that is done beside it.
type fileLog struct {
	h    *Host
	more chan struct{} // there is something; one stands for any number

	mu         sync.Mutex
	waiting    []noted
	suppressed int // that are not among waiting
}

// noted is a change that waits.
type noted struct {
	plugin.FileChange
	at time.Time
}

// startFileLog must come before the plugins are started: it ends after them, with
// everything written down.
func (h *Host) startFileLog() *fileLog {
	l := &fileLog{h: h, more: make(chan struct{}, 1)}
	h.background("the log of the plugins' files", func(ctx context.Context) {
		failed := false
		for {
			var again <-chan time.Time // for ever silent
			timer := time.NewTimer(writeAgain)
			if failed {
				again = timer.C
			}
			select {
			case <-l.more:
			case <-again:
			case <-ctx.Done():
			}
			timer.Stop()
			err := l.write()
			switch {
			case err != nil && ctx.Err() != nil:
				h.logger.Error("what became of plugins' files is not in the audit log, and the host is closing", "changes", l.left(), "error", err)
			case err != nil && !failed: // once
				h.logger.Error("what becomes of plugins' files cannot be written into the audit log; it is tried again and again", "error", err)
			case err == nil && failed:
				h.logger.Info("what became of plugins' files is in the audit log now")
			}
			failed = err != nil
			if ctx.Err() != nil {
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
		l.waiting = append(l.waiting, noted{c, time.Now().UTC()})
	} else {
		l.suppressed++
	}
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// left is how many changes are not written down.
func (l *fileLog) left() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) + l.suppressed
}

// write writes down what waits. What it fails at goes on waiting.
func (l *fileLog) write() error {
	l.mu.Lock()
	changes, suppressed := l.waiting, l.suppressed
	l.waiting, l.suppressed = nil, 0
	l.mu.Unlock()
	for len(changes) > 0 {
		n := min(len(changes), writeTogether)
		err := l.append(changes[:n], suppressed)
		if err != nil {
			l.mu.Lock()
			l.waiting, l.suppressed = append(changes, l.waiting...), l.suppressed+suppressed
			if over := len(l.waiting) - maxNoted; over > 0 { // it came meanwhile
				l.waiting, l.suppressed = l.waiting[:maxNoted], l.suppressed+over
			}
			l.mu.Unlock()
			return err
		}
		changes, suppressed = changes[n:], 0
	}
	return nil
}

// append writes some changes down together, the first of which stands for the suppressed ones too.
func (l *fileLog) append(changes []noted, suppressed int) error {
	records := make([]audit.Record, len(changes))
	for i, c := range changes {
		rec, err := recordOf(c.FileChange)
		if err != nil {
			return err
		}
		rec.At = c.at
		records[i] = rec
	}
	records[0].Suppressed = suppressed
	return l.h.audit.AppendAll(records)
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
