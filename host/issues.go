package host

import (
	"context"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/member"
	"github.com/berth-host/berth/host/run"
)

// startIssues loads the issues. They are stored once no delivery fails any more: the
// deliveries start later, and are closed before.
func (h *Host) startIssues(ctx context.Context) (err error) {
	if h.issues, err = run.Issues(ctx, h.engine, h.engine.Shared != nil, h.logger); err != nil {
		return err
	}
	h.onClose("the issues", h.issues.Close)
	h.background("the issues", h.issues.Run)
	return nil
}

// attemptFailed counts a failed attempt in its issue.
func (h *Host) attemptFailed(rec event.Record, d event.Delivery) {
	key, version := h.runner.FailureOf(rec, d)
	h.issues.Failed(rec, d, key, version)
}

// startOperations continues the operations that were running.
func (h *Host) startOperations(ctx context.Context) (err error) {
	shared := h.engine.Shared != nil
	h.operations, err = run.Operations{Deliveries: h.actions, Log: h.engine, Store: h.engine, Issues: h.issues, Suspended: shared,
		Manifest: h.plugins.Manifest, Table: h.live.Table, Ready: h.plugins.WaitReady, Logger: h.logger}.Open(ctx)
	if err != nil {
		return err
	}
	if shared {
		h.jobs[":operations"] = member.RunOperations(h.operations)
	}
	h.onClose("the operations", h.operations.Close)
	return nil
}
