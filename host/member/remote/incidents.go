package remote

import (
	"context"
	"errors"

	"github.com/berth-host/berth/host/api/incident"
	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Incidents has the issues and operations of this host; see issues.Tracker and operations.Runner.
type Incidents struct {
	ChangeIssue     func(ctx context.Context, id string, to wire.IssueState, by, note string) (wire.Issue, error)
	StartOperation  func(ctx context.Context, in wire.NewOperation, by string) (wire.Operation, error)
	CancelOperation func(ctx context.Context, id string) (wire.Operation, error)
	Runs            func(handler string) bool
	// Own has this host keep the issues of a handler until Release.
	Own     func(ctx context.Context, f spec.Fence) error
	Release func(ctx context.Context, handler string) error
}

// OperationsUnit is the job that runs the operations.
const OperationsUnit = ":operations"

// The names of the commands.
const (
	changeIssue     = "change-issue"
	startOperation  = "start-operation"
	cancelOperation = "cancel-operation"
)

type issueChange struct {
	ID   string
	To   wire.IssueState
	By   string
	Note string
}

type newOperation struct {
	In wire.NewOperation
	By string
}

func (i Incidents) change(ctx context.Context, handler string, in issueChange) (_ wire.Issue, err error) {
	if f, taken := spec.FenceOf(ctx); taken && !i.Runs(handler) { // no host runs it
		if err := i.Own(ctx, f); err != nil {
			return wire.Issue{}, err
		}
		defer func() { err = errors.Join(err, i.Release(ctx, handler)) }()
	}
	return i.ChangeIssue(ctx, in.ID, in.To, in.By, in.Note)
}

func (i Incidents) start(ctx context.Context, _ string, in newOperation) (wire.Operation, error) {
	return i.StartOperation(ctx, in.In, in.By)
}

func (i Incidents) cancel(ctx context.Context, _ string, id string) (wire.Operation, error) {
	return i.CancelOperation(ctx, id)
}

// Methods are the commands that hosts carry out for each other.
func (i Incidents) Methods() map[string]cluster.Method {
	return map[string]cluster.Method{changeIssue: method(changeIssue, i.change), startOperation: method(startOperation, i.start),
		cancelOperation: method(cancelOperation, i.cancel)}
}

// View shows what other hosts keep, and may be somewhat old.
type View interface {
	// Expire has it read anew: this host has had another one change it.
	Expire()
}

// IssueView is the issues of all hosts, to be read.
type IssueView interface {
	incident.Issues
	View
}

// OperationView is the operations, to be read.
type OperationView interface {
	incident.Operations
	View
}

// Issues are the issues of all hosts, and changes them where they are kept.
type Issues struct {
	IssueView
	way  Way
	here Incidents
}

// NewIssues returns the issues, of which shown has those of all hosts.
func NewIssues(way Way, shown IssueView, here Incidents) Issues {
	return Issues{shown, way, here}
}

// Change implements incident.Issues.
func (i Issues) Change(ctx context.Context, id string, to wire.IssueState, by, note string) (wire.Issue, error) {
	if !i.way.Shared {
		return i.here.ChangeIssue(ctx, id, to, by, note)
	}
	issue, err := i.Show(id)
	if err != nil {
		return wire.Issue{}, err
	}
	defer i.Expire()
	return call(ctx, i.way, issue.Unit(), changeIssue, issueChange{id, to, by, note}, i.here.change)
}

// Operations are the operations, which one host runs for all.
type Operations struct {
	OperationView
	way  Way
	here Incidents
}

// NewOperations returns the operations; shown also shows them while another host runs them.
func NewOperations(way Way, shown OperationView, here Incidents) Operations {
	return Operations{shown, way, here}
}

// Start implements incident.Operations.
func (o Operations) Start(ctx context.Context, in wire.NewOperation, by string) (wire.Operation, error) {
	defer o.Expire()
	return call(ctx, o.way, OperationsUnit, startOperation, newOperation{in, by}, o.here.start)
}

// Cancel implements incident.Operations.
func (o Operations) Cancel(ctx context.Context, id string) (wire.Operation, error) {
	defer o.Expire()
	return call(ctx, o.way, OperationsUnit, cancelOperation, id, o.here.cancel)
}
