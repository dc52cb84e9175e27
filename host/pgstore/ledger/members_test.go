package ledger_test

import (
	"fmt"
	"testing"

	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/spec"
)

// TestUnreadableMember: a row that this version cannot read, or that names another host, ends no
// lease and is removed like others.
func TestUnreadableMember(t *testing.T) {
	schema := pgtest.Schema(t)
	l := open(t, schema)
	pgtest.Exec(t, fmt.Sprintf(`INSERT INTO %s.members VALUES ('broken', 3, '{"units": 5}'), ('negative', -1, ''), ('other', 1, '{"id": "self", "name": "x"}')`, schema))
	self := spec.Beating{Member: spec.Member{ID: "self", Name: "s"}, Beat: 1}
	view, err := l.Beat(t.Context(), self)
	if err != nil {
		t.Fatal(err)
	}
	var dead []spec.Beating
	for i, want := range []string{"broken broken", "negative negative", "other x", "self s"} {
		if m := view.Members[i]; m.ID+" "+m.Name != want || len(m.Units) > 0 {
			t.Errorf("member %d is %+v, want %s", i, m, want)
		} else if m.ID != "self" {
			dead = append(dead, m)
		}
	}
	if err := l.Expire(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	if view, err = l.Beat(t.Context(), self); err != nil || len(view.Members) != 1 {
		t.Errorf("the members are %+v: %v", view.Members, err)
	}
}

// TestCommandThatNobodyAwaits: a command whose caller has given up is not begun any more.
func TestCommandThatNobodyAwaits(t *testing.T) {
	schema := pgtest.Schema(t)
	l := open(t, schema)
	for _, id := range []string{"late", "new"} {
		if err := l.Ask(t.Context(), spec.ClusterCommand{ID: id, Unit: "h", Method: "purge"}); err != nil {
			t.Fatal(err)
		}
	}
	pgtest.Exec(t, fmt.Sprintf(`UPDATE %s.commands SET asked_at = asked_at - interval '31 seconds' WHERE id = 'late'`, schema))
	if list, err := l.Asked(t.Context(), []string{"h"}); err != nil || len(list) != 1 || list[0].ID != "new" {
		t.Errorf("got %+v: %v", list, err)
	}
}
