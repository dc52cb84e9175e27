package run

import (
	"context"
	"log/slog"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/event/stack"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/issues"
	"github.com/berth-host/berth/host/operations"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/spec"
)

// Issues returns a tracker with the issues of a store.
// shared says that hosts share the store.
func Issues(ctx context.Context, store issues.Store, shared bool, logger *slog.Logger) (*issues.Tracker, error) {
	return issues.Open(ctx, issues.Config{
		Store:     store,
		Shared:    shared,
		Normalise: stack.Normalise,
		Top:       func(message string) *spec.Frame { return stack.Top(stack.Parse(message)) },
		Logger:    logger,
	})
}

// Operations configures a runner of operations.
type Operations struct {
	Deliveries operations.Deliveries
	Log        operations.Log
	Store      operations.Store
	Issues     *issues.Tracker
	Manifest   func(plugin string) (m abi.Manifest, known bool)
	Table      func() *route.Table
	Ready      func(context.Context) error // waits until the plugins are loaded
	Suspended  bool                        // until Resume
	Logger     *slog.Logger
}

// Open returns a runner, which continues the operations of the store.
func (o Operations) Open(ctx context.Context) (*operations.Runner, error) {
	return operations.Open(ctx, operations.Config{
		Deliveries: o.Deliveries,
		Log:        o.Log,
		Store:      o.Store,
		Compile: func(glob, when string) (func(*event.Event) bool, error) {
			selection, err := route.NewSelection(glob, when)
			if err != nil {
				return nil, err
			}
			return selection.Selects, nil
		},
		Filter:    o.filter,
		Ready:     o.Ready,
		Suspended: o.Suspended,
		IssueOf:   o.Issues.IssueOf,
		Issue:     o.Issues.Show,
		Logger:    o.Logger,
	})
}

// filter returns a function that reports whether a plugin takes an event, by its manifest and
// the routes in force.
func (o Operations) filter(plugin string) (func(*event.Event) bool, error) {
	manifest, known := o.Manifest(plugin)
	if !known {
		return nil, fault.New(fault.Conflict, "the file of the plugin %s is missing: which events it takes is not known", plugin)
	}
	subscribed, err := route.FilterOf(plugin, manifest)
	if err != nil {
		return nil, err
	}
	return func(ev *event.Event) bool {
		only := ev.Origin().Only
		takes, err := o.Table().Takes(plugin, subscribed, ev)
		return takes && err == nil && (only == "" || only == plugin)
	}, nil
}
