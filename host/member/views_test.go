package member_test

import (
	"slices"
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/issues"
	"github.com/berth-host/berth/host/member"
	"github.com/berth-host/berth/host/operations"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// putAs stores a document as another host does.
func putAs(t *testing.T, m *bus.Memory, kind, id, body string) {
	t.Helper()
	if err := m.PutDocuments(t.Context(), []event.Document{{Kind: kind, ID: id, Body: body}}); err != nil {
		t.Fatal(err)
	}
}

// TestOperationThatAnotherHostHasJustStored: it is shown, and listed once the view has expired.
func TestOperationThatAnotherHostHasJustStored(t *testing.T) {
	m := bus.NewMemory(bus.MemoryConfig{})
	defer m.Close()
	r, err := operations.Open(t.Context(), operations.Config{Store: m, Suspended: true})
	if err != nil {
		t.Fatal(err)
	}
	v := member.NewOperationViews(r)
	ids := func() (ids []string) {
		t.Helper()
		list, err := v.List(spec.OperationQuery{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Items {
			ids = append(ids, o.ID)
		}
		return ids
	}
	if got := ids(); len(got) > 0 { // the view is fresh now
		t.Errorf("got %v", got)
	}
	putAs(t, m, "operation", "34", `{"id":"34","kind":"replay","plugin":"mail","state":"done"}`)
	if o, err := v.Show("34"); err != nil || o.State != wire.OperationDone {
		t.Errorf("got %+v, %v", o, err)
	}
	if _, err := v.Show("36"); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
	putAs(t, m, "operation", "35", `{"id":"35","kind":"retry","plugin":"mail","state":"done"}`)
	v.Expire()
	if got := ids(); !slices.Equal(got, []string{"35", "34"}) {
		t.Errorf("got %v", got)
	}
}

// TestIssueThatAnotherHostHasJustStored: likewise.
func TestIssueThatAnotherHostHasJustStored(t *testing.T) {
	m := bus.NewMemory(bus.MemoryConfig{})
	defer m.Close()
	tracker, err := issues.Open(t.Context(), issues.Config{Store: m, Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	v := member.NewIssueViews(tracker)
	if list, err := v.List(spec.IssueQuery{}); err != nil || len(list.Items) > 0 {
		t.Errorf("got %+v, %v", list, err)
	}
	putAs(t, m, "issue", "7", `{"id":"7","handler":"mail","class":"trap","state":"open"}`)
	if i, err := v.Show("7"); err != nil || i.Handler != "mail" {
		t.Errorf("got %+v, %v", i, err)
	}
}
