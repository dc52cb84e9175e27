// Package incident has the endpoints for an operator with an incident: issues, which group
// failed attempts, and operations, which give many events to a handler again.
package incident

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/api/describe"
	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/api/resource"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Parts are what the endpoints need. Both are required.
type Parts struct {
	Issues     Issues
	Operations Operations
}

// Issues keeps the issues.
type Issues interface {
	// List returns a page, the issue that failed last first. fault.Invalid about "cursor": it is
	// not of this list.
	List(q spec.IssueQuery) (wire.List[wire.Issue], error)
	// Show returns an issue with its minutes and latest failures; fault.NotFound.
	Show(id string) (wire.Issue, error)
	// Change changes the state of an issue, durably, and returns it as Show does; fault.NotFound,
	// and fault.Conflict when the present state does not allow it.
	Change(ctx context.Context, id string, to wire.IssueState, by, note string) (wire.Issue, error)
}

// Operations runs operations.
type Operations interface {
	// Start starts an operation that is stored when it returns; fault.Invalid, fault.NotFound, and
	// fault.Conflict when too many run.
	Start(ctx context.Context, in wire.NewOperation, by string) (wire.Operation, error)
	// Preview counts what an operation would do.
	Preview(ctx context.Context, in wire.NewOperation) (wire.OperationPreview, error)
	// List returns a page, the latest one first.
	List(q spec.OperationQuery) (wire.List[wire.Operation], error)
	Show(id string) (wire.Operation, error)
	// Cancel stops an operation, and returns it when it has stopped; fault.NotFound, and
	// fault.Conflict for one that has ended otherwise.
	Cancel(ctx context.Context, id string) (wire.Operation, error)
}

const (
	issuesPath     = "/api/v1/issues"
	operationsPath = "/api/v1/operations"
)

// Endpoints lists the endpoints.
func (p Parts) Endpoints() []resource.Endpoint {
	const get, post = http.MethodGet, http.MethodPost
	const read, operate = spec.ScopeRead, spec.ScopeOperate
	return []resource.Endpoint{
		{Method: get, Path: issuesPath, Scope: read, Handle: p.listIssues},
		{Method: get, Path: issuesPath + "/:id", Scope: read, Handle: p.showIssue},
		{Method: post, Path: issuesPath + "/:id/acknowledge", Scope: operate, Handle: p.change(wire.IssueAcknowledged)},
		{Method: post, Path: issuesPath + "/:id/resolve", Scope: operate, Handle: p.change(wire.IssueResolved)},
		{Method: post, Path: issuesPath + "/:id/ignore", Scope: operate, Handle: p.change(wire.IssueIgnored)},
		{Method: post, Path: issuesPath + "/:id/reopen", Scope: operate, Handle: p.change(wire.IssueOpen)},

		{Method: post, Path: operationsPath, Scope: operate, Handle: p.start},
		{Method: get, Path: operationsPath, Scope: read, Handle: p.listOperations},
		{Method: get, Path: operationsPath + "/:id", Scope: read, Handle: p.showOperation},
		{Method: post, Path: operationsPath + "/:id/cancel", Scope: operate, Handle: p.cancel},
	}
}

// listIssues is GET /api/v1/issues?handler&class&state&version&limit&cursor.
func (p Parts) listIssues(r resource.Request) (resource.Answer, error) {
	q := r.Query("handler", "class", "state", "version", "limit", "cursor")
	find := spec.IssueQuery{Handler: q.Get("handler"), Class: q.Get("class"), Version: q.Get("version"), Cursor: q.Get("cursor"),
		Limit: r.Limit(q, describe.MaxPage)}
	states := describe.IssueStates()
	switch state := q.Get("state"); {
	case state == "":
		find.States = []string{string(wire.IssueOpen), string(wire.IssueAcknowledged)}
	case slices.Contains(states, state):
		find.States = []string{state}
	case state != "all":
		r.Fail(fault.Field("state", "%q is not a state of issues; there are %s, and all", problem.Short(state), strings.Join(states, ", ")))
	}
	if classes := describe.IssueClasses(); q.Has("class") && !slices.Contains(classes, find.Class) {
		r.Fail(fault.Field("class", "%q is not a class of issues; there are %s", problem.Short(find.Class), strings.Join(classes, ", ")))
	}
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	page, err := p.Issues.List(find)
	return resource.Answer{Body: page}, err
}

// showIssue is GET /api/v1/issues/:id.
func (p Parts) showIssue(r resource.Request) (resource.Answer, error) {
	r.Query()
	id := r.Param("id")
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	issue, err := p.Issues.Show(id)
	return resource.Answer{Body: issue}, err
}

// change is POST /api/v1/issues/:id/acknowledge, and the like.
func (p Parts) change(to wire.IssueState) func(resource.Request) (resource.Answer, error) {
	return func(r resource.Request) (resource.Answer, error) {
		r.Query()
		id := r.Param("id")
		var change wire.IssueChange
		r.OptionalBody(&change)
		if r.Err() != nil {
			return resource.Answer{}, r.Err()
		}
		issue, err := p.Issues.Change(r.Ctx(), id, to, r.Caller(), change.Note)
		return resource.Answer{Body: issue, Target: "issue " + issue.ID, Noted: noted{Issue: issue.ID, Handler: issue.Handler,
			State: string(issue.State), Message: issue.Message, Note: issue.Note}}, err
	}
}

// noted is what the audit log has of a change.
type noted struct {
	Issue     string `json:"issue,omitempty"`
	Operation string `json:"operation,omitempty"`
	Kind      string `json:"kind,omitempty"`
	Handler   string `json:"handler"`
	State     string `json:"state"`
	Message   string `json:"message,omitempty"`
	Note      string `json:"note,omitempty"`
	Done      uint64 `json:"done,omitempty"`
}

func ofOperation(o wire.Operation) noted {
	return noted{Operation: o.ID, Kind: o.Kind, Handler: o.Plugin, State: string(o.State), Done: o.Done}
}

// start is POST /api/v1/operations.
func (p Parts) start(r resource.Request) (resource.Answer, error) {
	r.Query()
	in := resource.Read[wire.NewOperation](r)
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	if in.Preview {
		preview, err := p.Operations.Preview(r.Ctx(), in)
		return resource.Answer{Body: preview}, err
	}
	o, err := p.Operations.Start(r.Ctx(), in, r.Caller())
	return resource.Answer{Status: http.StatusAccepted, Body: o, Target: "operation " + o.ID, Noted: ofOperation(o)}, err
}

// listOperations is GET /api/v1/operations?kind&plugin&state&limit&cursor.
func (p Parts) listOperations(r resource.Request) (resource.Answer, error) {
	q := r.Query("kind", "plugin", "state", "limit", "cursor")
	find := spec.OperationQuery{Kind: q.Get("kind"), Plugin: q.Get("plugin"), State: q.Get("state"), Cursor: q.Get("cursor"),
		Limit: r.Limit(q, describe.MaxPage)}
	for name, known := range map[string][]string{"kind": describe.OperationKinds(), "state": describe.OperationStates()} {
		if value := q.Get(name); q.Has(name) && !slices.Contains(known, value) {
			r.Fail(fault.Field(name, "is %q; there are %s", problem.Short(value), strings.Join(known, ", ")))
		}
	}
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	page, err := p.Operations.List(find)
	return resource.Answer{Body: page}, err
}

// showOperation is GET /api/v1/operations/:id.
func (p Parts) showOperation(r resource.Request) (resource.Answer, error) {
	r.Query()
	id := r.Param("id")
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	o, err := p.Operations.Show(id)
	return resource.Answer{Body: o}, err
}

// cancel is POST /api/v1/operations/:id/cancel.
func (p Parts) cancel(r resource.Request) (resource.Answer, error) {
	r.Query()
	id := r.Param("id")
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	o, err := p.Operations.Cancel(r.Ctx(), id)
	return resource.Answer{Body: o, Target: "operation " + o.ID, Noted: ofOperation(o)}, err
}
