package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	api_incident "github.com/berth-host/berth/host/api/incident"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// fakeIssues has one issue, 12. asked is the last query.
type fakeIssues struct {
	issue wire.Issue
	asked spec.IssueQuery
}

// fakeOperations has one operation, 3.
type fakeOperations struct {
	operation wire.Operation
	asked     spec.OperationQuery
	started   wire.NewOperation
}

func incidents() api_incident.Parts {
	at := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	issue := wire.Issue{ID: "12", Handler: "order-audit", Class: "trap", Message: "boom", Frame: &spec.Frame{Function: "main"},
		State: wire.IssueOpen, FirstSeen: at, LastSeen: at, Count: 3, Versions: []string{"1.0.0"}, Keys: []string{"A-1"}, KeyCount: 1,
		Minutes: make([]uint32, 60), Latest: []wire.IssueFailure{{At: at, EventID: "e1"}}}
	operation := wire.Operation{ID: "3", Kind: "redrive", Plugin: "order-audit", State: wire.OperationRunning, StartedAt: at}
	return api_incident.Parts{Issues: &fakeIssues{issue: issue}, Operations: &fakeOperations{operation: operation}}
}

func (f *fakeIssues) List(q spec.IssueQuery) (wire.List[wire.Issue], error) {
	f.asked = q
	i := f.issue
	i.Minutes, i.Latest = nil, nil
	return wire.List[wire.Issue]{Items: []wire.Issue{i}}, nil
}

func (f *fakeIssues) Show(id string) (wire.Issue, error) {
	if id != f.issue.ID {
		return wire.Issue{}, fault.New(fault.NotFound, "there is no issue %s", id)
	}
	return f.issue, nil
}

func (f *fakeIssues) Change(_ context.Context, id string, to wire.IssueState, by, note string) (wire.Issue, error) {
	if _, err := f.Show(id); err != nil {
		return wire.Issue{}, err
	}
	f.issue.State, f.issue.StateBy, f.issue.Note = to, by, note
	return f.issue, nil
}

func (f *fakeOperations) Start(_ context.Context, in wire.NewOperation, by string) (wire.Operation, error) {
	if in.Kind == "" {
		return wire.Operation{}, fault.Field("kind", "is required")
	}
	f.started = in
	o := f.operation
	o.StartedBy = by
	return o, nil
}

func (f *fakeOperations) Preview(_ context.Context, in wire.NewOperation) (wire.OperationPreview, error) {
	return wire.OperationPreview{Matches: 7, Exact: true, Examined: 9, Sample: []string{"e1"}}, nil
}

func (f *fakeOperations) List(q spec.OperationQuery) (wire.List[wire.Operation], error) {
	f.asked = q
	return wire.List[wire.Operation]{Items: []wire.Operation{f.operation}}, nil
}

func (f *fakeOperations) Show(id string) (wire.Operation, error) {
	if id != f.operation.ID {
		return wire.Operation{}, fault.New(fault.NotFound, "there is no operation %s", id)
	}
	return f.operation, nil
}

func (f *fakeOperations) Cancel(_ context.Context, id string) (wire.Operation, error) {
	o, err := f.Show(id)
	if err == nil {
		o.State = wire.OperationCancelled
	}
	return o, err
}

func TestListsOfIncidents(t *testing.T) {
	b := setup(t)
	h := newServer(t, b.cfg).Handler()
	issues, operations := b.cfg.Incidents.Issues.(*fakeIssues), b.cfg.Incidents.Operations.(*fakeOperations)
	for _, tt := range []struct {
		query string
		want  string
	}{
		{"", `{Handler: Class: Version: States:[open acknowledged] Cursor: Limit:50}`},
		{"?state=all", `{Handler: Class: Version: States:[] Cursor: Limit:50}`},
		{"?state=ignored&handler=x&class=other&version=1.0.0&cursor=5.1&limit=7",
			`{Handler:x Class:other Version:1.0.0 States:[ignored] Cursor:5.1 Limit:7}`},
	} {
		if w := call(h, "GET", "/api/v1/issues"+tt.query, ""); w.Code != 200 || fmt.Sprintf("%+v", issues.asked) != tt.want {
			t.Errorf("%s: %d, asked %+v", tt.query, w.Code, issues.asked)
		}
	}
	w := call(h, "GET", "/api/v1/operations?kind=redrive&plugin=x&state=running&cursor=9&limit=3", "")
	if want := `{Kind:redrive Plugin:x State:running Cursor:9 Limit:3}`; w.Code != 200 || fmt.Sprintf("%+v", operations.asked) != want {
		t.Errorf("%d, asked %+v", w.Code, operations.asked)
	}
	for path, field := range map[string]string{"/api/v1/issues?state=lost": "state", "/api/v1/issues?class=bad": "class",
		"/api/v1/issues?limit=0": "limit", "/api/v1/issues?plugin=x": "plugin", "/api/v1/operations?state=open": "state",
		"/api/v1/operations?kind=purge": "kind", "/api/v1/operations?limit=501": "limit", "/api/v1/issues/12?x=1": "x"} {
		if w := call(h, "GET", path, ""); w.Code != 400 || problemIn(t, w).Field != field {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestChangesOfIncidentsAreAudited(t *testing.T) {
	b := setup(t)
	h := newServer(t, b.cfg).Handler()
	log := b.cfg.Admin.Audit.(*auditLog)
	for _, tt := range []struct {
		path, body, action, target, after string
		status                            int
	}{
		{"/api/v1/issues/12/resolve", `{"note":"fixed in 1.0.1"}`, "resolve", "issue 12",
			`{"issue":"12","handler":"order-audit","state":"resolved","message":"boom","note":"fixed in 1.0.1"}`, 200},
		{"/api/v1/issues/12/acknowledge", "", "acknowledge", "issue 12",
			`{"issue":"12","handler":"order-audit","state":"acknowledged","message":"boom"}`, 200},
		{"/api/v1/issues/13/ignore", "", "ignore", "", "", 404},
		{"/api/v1/operations", `{"kind":"redrive","plugin":"unknown","filter":{}}`, "operations", "unknown",
			`{"operation":"3","kind":"redrive","handler":"order-audit","state":"running"}`, 202},
		{"/api/v1/operations/3/cancel", "", "cancel", "operation 3",
			`{"operation":"3","kind":"redrive","handler":"order-audit","state":"cancelled"}`, 200},
	} {
		w := call(h, "POST", tt.path, tt.body)
		last := log.records[len(log.records)-1]
		if w.Code != tt.status || last.Stage != "end" || last.Action != tt.action || last.Target != tt.target || string(last.After) != tt.after {
			t.Errorf("%s: %d %s\n%+v\n%s", tt.path, w.Code, w.Body, last, last.After)
		}
	}
	if i := b.cfg.Incidents.Issues.(*fakeIssues).issue; i.StateBy != "admin" {
		t.Errorf("changed by %q", i.StateBy)
	}
}

func TestPreviewStartsNothing(t *testing.T) {
	b := setup(t)
	h := newServer(t, b.cfg).Handler()
	w := call(h, "POST", "/api/v1/operations", `{"kind":"redrive","plugin":"order-audit","filter":{},"preview":true}`)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"matches":7`) || b.cfg.Incidents.Operations.(*fakeOperations).started.Kind != "" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	for body, field := range map[string]string{`{"kind":"redrive","plugins":"x"}`: "plugins", `{"filter":{"x":1}}`: "filter.x", `{"rate":"fast"}`: "rate"} {
		if w := call(h, "POST", "/api/v1/operations", body); w.Code != 400 || problemIn(t, w).Field != field {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
}
