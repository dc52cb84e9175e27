package live

import (
	"context"
	"errors"
	"os"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/wire"
)

// File returns the configuration file as it is now, and what a reload would change. A file
// that a reload would refuse has Errors. It changes nothing.
func (l *Live) File(ctx context.Context) (wire.ConfigFile, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now.Load()
	answer := wire.ConfigFile{Path: l.path, AppliedAt: now.since, Changed: []string{}, NeedsRestart: []string{}, Errors: []wire.ErrorDetail{}}
	n, err := l.read()
	if err == nil && n == nil { // it does not exist: the defaults apply
		return answer, nil
	}
	if info, missing := os.Stat(l.path); missing == nil {
		modified := info.ModTime()
		answer.Exists, answer.ModifiedAt = true, &modified
	}
	if err == nil {
		answer.Text = string(n.text)
		err = l.check(ctx, n)
	} else if text, unreadable := config.Read(l.path); unreadable == nil {
		answer.Text = string(text)
	}
	var wrong *document.Error
	switch {
	case errors.As(err, &wrong):
		answer.Errors = wrong.Details()
		return answer, nil
	case err != nil:
		return answer, err
	}
	answer.NeedsRestart = append(answer.NeedsRestart, config.Restarts(l.started, n.config)...)
	answer.Changed = append(answer.Changed, diff(now, n.inForce, answer.NeedsRestart)...)
	return answer, nil
}
