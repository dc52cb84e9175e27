package units_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore"
	"github.com/berth-host/berth/host/pgstore/ledger"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/spec"
)

func TestMain(m *testing.M) { pgtest.Start(m) }

// store is an engine with a member that can take units.
type store struct {
	*pgstore.Store
	ledger *ledger.Ledger
	schema string
	t      *testing.T
}

func open(t *testing.T) *store {
	t.Helper()
	s := &store{schema: pgtest.Schema(t), t: t}
	var err error
	s.Store, err = pgstore.Open(t.Context(), pgstore.Config{URL: pgtest.URL(t), Schema: s.schema, Window: bus.NewWindow(bus.WindowConfig{})})
	s.check(err)
	s.ledger, err = s.Ledger()
	s.check(err)
	t.Cleanup(func() {
		s.ledger.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	_, err = s.ledger.Beat(t.Context(), spec.Beating{Member: spec.Member{ID: "host"}, Beat: 1})
	s.check(err)
	_, err = s.Append(t.Context(), logtest.Numbered(t, "k", 20))
	s.check(err)
	return s
}

func (s *store) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// take takes a unit in the epoch after this one.
func (s *store) take(unit string, epoch uint64) spec.Fence {
	s.t.Helper()
	seen := spec.Unit{Epoch: epoch}
	if epoch > 0 {
		seen.Name = unit
	}
	next, err := s.ledger.Take(s.t.Context(), unit, seen, "host")
	s.check(err)
	return spec.Fence{Unit: unit, Epoch: next}
}

// save stores plain outcomes, deliveries and the position of a unit.
func (s *store) save(fences []spec.Fence, unit string, cursor uint64, done []uint64, list ...event.Delivery) (fenced []spec.Fence) {
	s.t.Helper()
	successes := event.Successes{Handler: unit}
	for _, seq := range done {
		successes.Append(seq, event.Success{At: time.Unix(1, 0)}, nil)
	}
	for i := range list {
		list[i].Handler, list[i].At = unit, time.Unix(2, 0)
	}
	_, fenced, err := s.SaveDeliveries(s.t.Context(), fences, []event.Successes{successes}, list, []event.Cursor{{Name: "handler/" + unit, Seq: cursor}})
	s.check(err)
	return fenced
}

// document returns the document of p with the cut as its body.
func document(revision uint64) func(uint64) spec.SharedDocument {
	return func(cut uint64) spec.SharedDocument {
		return spec.SharedDocument{Kind: "shards", ID: "p", Revision: revision, Body: fmt.Append(nil, cut)}
	}
}

// body returns the body of the document of p.
func (s *store) body() string {
	s.t.Helper()
	list, err := s.Shared(s.t.Context(), "shards")
	s.check(err)
	if len(list) == 0 {
		return ""
	}
	return string(list[0].Body)
}

func (s *store) states(units ...string) []spec.UnitState {
	s.t.Helper()
	list, err := s.UnitStates(s.t.Context(), units)
	s.check(err)
	return list
}

var pair = []string{"p/0", "p/1"}

func TestCutIsAboveWhatWasBegun(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(s *store)
		want    uint64
	}{
		"a cursor": {func(s *store) { s.save(nil, "p/1", 7, nil) }, 7},
		"an outcome ahead of the cursor": {func(s *store) {
			s.save(nil, "p/0", 3, []uint64{5, 9})
			s.save(nil, "p/1", 7, nil)
		}, 9},
		"a retry ahead of the cursor": {func(s *store) {
			s.save(nil, "p/0", 3, []uint64{5}, event.Delivery{Seq: 11, Status: event.StatusRetrying, Due: time.Unix(3, 0)})
			s.save(nil, "p/1", 7, nil)
		}, 11},
		"a replay": {func(s *store) {
			s.save(nil, "p/0", 12, nil)
			s.save(nil, "p/1", 7, nil)
			s.check(s.StartReplay(s.t.Context(), "p/0", 2, 4, time.Unix(4, 0)))
		}, 12},
		"another plugin": {func(s *store) {
			s.save(nil, "p/0", 1, nil)
			s.save(nil, "p/2", 15, []uint64{16})
			s.save(nil, "p/1", 2, nil)
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			s.save(nil, "p/0", 0, nil)
			tt.prepare(s)
			s.check(s.CutUnits(t.Context(), pair, document(0)))
			if got := s.body(); got != fmt.Sprint(tt.want) {
				t.Errorf("got the cut %s, want %d", got, tt.want)
			}
		})
	}
}

// TestOwnedUnitsDoNotChange also holds that the former owner of a unit is fenced afterwards, and that a
// host which has seen the unit before cannot take it.
func TestOwnedUnitsDoNotChange(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	s.save(nil, "p/0", 3, nil)
	logtest.WantCode(t, "a unit without a position", s.CutUnits(ctx, pair, document(0)), fault.Conflict)
	s.save(nil, "p/1", 3, nil)
	fence := s.take("p/1", 0)
	logtest.WantCode(t, "cut", s.CutUnits(ctx, pair, document(0)), fault.Conflict)
	logtest.WantCode(t, "begin", s.BeginUnits(ctx, pair, []string{"p"}, 3, document(0)(3)), fault.Conflict)
	if s.body() != "" {
		t.Errorf("the document is %q", s.body())
	}
	s.check(s.ledger.Give(ctx, fence))
	if fenced := s.save([]spec.Fence{fence}, "p/1", 4, nil); len(fenced) > 0 {
		t.Errorf("fenced by a gift: %v", fenced)
	}
	s.check(s.CutUnits(ctx, pair, document(0)))
	if fenced := s.save([]spec.Fence{fence}, "p/1", 5, nil); !slices.Equal(fenced, []spec.Fence{fence}) {
		t.Errorf("got %v, want the former owner fenced", fenced)
	}
	_, err := s.ledger.Take(ctx, "p/1", spec.Unit{Name: "p/1", Epoch: fence.Epoch}, "host")
	logtest.WantCode(t, "take of what was seen before", err, fault.Conflict)
	_, err = s.ledger.Take(ctx, "p/0", spec.Unit{}, "host")
	logtest.WantCode(t, "take of a unit that had no row", err, fault.Conflict)
	again := s.take("p/1", fence.Epoch+1)
	s.check(s.ledger.Give(ctx, again))
	s.save(nil, "p/0", 4, nil)
	s.check(s.BeginUnits(ctx, pair, []string{"p"}, 4, document(1)(4)))
	if fenced := s.save([]spec.Fence{again}, "p/1", 6, nil); len(fenced) != 1 {
		t.Error("an owner of the former layout writes")
	}
}

// TestReplayBeyondTheCut: a replay to an event behind the cut ends there, because the next units have
// those events to deliver anyway.
func TestReplayBeyondTheCut(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	s.save(nil, "p/0", 5, nil)
	s.save(nil, "p/1", 5, nil)
	s.check(s.StartReplay(ctx, "p/0", 2, 9, time.Unix(4, 0)))
	s.check(s.CutUnits(ctx, pair, document(0)))
	if got := s.body(); got != "5" {
		t.Errorf("got the cut %s", got)
	}
	begin := func() error { return s.BeginUnits(ctx, pair, pair, 5, document(1)(5)) }
	logtest.WantCode(t, "the replay is before the cut", begin(), fault.Conflict)
	s.save(nil, "p/0", 5, nil)
	if got := s.states("p/0"); got[0].Open {
		t.Errorf("got %+v", got)
	}
	s.check(begin())
}

func TestNextUnitsBeginAtTheCut(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	s.save(nil, "p/0", 9, []uint64{2, 4}, event.Delivery{Seq: 6, Status: event.StatusDead, Attempts: 1})
	s.save(nil, "p/1", 8, []uint64{1, 3})
	next := []string{"p/0", "p/1", "p/2"}
	begin := func() error { return s.BeginUnits(ctx, pair, next, 9, document(0)(1)) }
	logtest.WantCode(t, "a unit before the cut", begin(), fault.Conflict)
	s.save(nil, "p/1", 9, nil, event.Delivery{Seq: 7, Status: event.StatusRetrying, Due: time.Unix(9, 0)})
	if got, want := s.states("p/1", "p/2", "p/0"), []spec.UnitState{{Name: "p/1", Cursor: 9, Found: true, Open: true}, {Name: "p/2"},
		{Name: "p/0", Cursor: 9, Found: true}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	logtest.WantCode(t, "a retry", begin(), fault.Conflict)
	s.save(nil, "p/1", 9, []uint64{7})
	s.check(s.StartReplay(ctx, "p/0", 2, 9, time.Unix(4, 0)))
	logtest.WantCode(t, "a replay", begin(), fault.Conflict)
	s.save(nil, "p/0", 9, nil)
	s.check(begin())
	for _, u := range s.states(next...) {
		if u.Cursor != 9 || !u.Found || u.Open || u.Owner != "" {
			t.Errorf("got %+v", u)
		}
	}
	s.check(s.CutUnits(ctx, next, document(1)))
	if got := s.body(); got != "9" { // of the former units of these names nothing counts
		t.Errorf("got the cut %s", got)
	}
	s.check(s.BeginUnits(ctx, next, []string{"p"}, 9, document(2)(1)))
	if got := s.states("p", "p/0"); got[0].Cursor != 9 || got[1].Found {
		t.Errorf("got %+v", got)
	}
	// Otherwise a position that nothing moves would keep the log from being trimmed.
	logtest.WantCode(t, "replay of a former unit", s.StartReplay(ctx, "p/1", 1, 2, time.Unix(5, 0)), fault.NotFound)
	if list, _, err := s.DeadLetters(ctx, event.DeadFilter{}, "", 10); err != nil || len(list) != 1 || list[0].Handler != "p/0" {
		t.Errorf("got the dead letters %+v, %v", list, err)
	}
}

// TestNextUnitsBeginWhereFormerOnesAre: a handler that was uninstalled and installed again is behind
// the cut, and its next units do not get the events from there on a second time.
func TestNextUnitsBeginWhereFormerOnesAre(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	s.save(nil, "p/0", 10, nil)
	s.save(nil, "p/1", 8, nil)
	s.check(s.CutUnits(ctx, pair, document(0)))
	for _, unit := range pair {
		s.check(s.ForgetHandler(ctx, unit))
	}
	s.check(s.Claim(ctx, "p", "shards", 18, func([]byte) ([]string, error) { return pair, nil }))
	s.save(nil, "p/1", 20, nil)
	s.check(s.BeginUnits(ctx, pair, []string{"p"}, 10, document(1)(10)))
	if got := s.states("p")[0]; got.Cursor != 18 {
		t.Errorf("it begins at %d, want the lowest position of its former units", got.Cursor)
	}
}

// TestStrayPositionsEnd: a position under the name of a next unit, or of any other of the plugin, ends
// with the change.
func TestStrayPositionsEnd(t *testing.T) {
	s := open(t)
	s.save(nil, "p", 10, nil)
	s.save(nil, "p/1", 3, nil)
	s.save(nil, "p/7", 4, nil)
	s.save(nil, "q/1", 5, nil)
	s.check(s.BeginUnits(t.Context(), []string{"p"}, pair, 10, document(0)(10)))
	want := []spec.UnitState{{Name: "p/0", Cursor: 10, Found: true}, {Name: "p/1", Cursor: 10, Found: true}, {Name: "p/7"},
		{Name: "q/1", Cursor: 5, Found: true}}
	if got := s.states("p/0", "p/1", "p/7", "q/1"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestUnitsEndOnceNothingIsLeft: also their former owners are fenced.
func TestUnitsEndOnceNothingIsLeft(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	_, err := s.Share(ctx, document(0)(2))
	s.check(err)
	end := func() error { return s.EndUnits(ctx, pair, spec.SharedDocument{Kind: "shards", ID: "p", Revision: 1}) }
	s.save(nil, "p/1", 3, nil)
	logtest.WantCode(t, "a position", end(), fault.Conflict)
	s.check(s.ForgetHandler(ctx, "p/1"))
	s.save(nil, "p/7", 3, nil)
	logtest.WantCode(t, "a position of another unit", end(), fault.Conflict)
	s.check(s.ForgetHandler(ctx, "p/7"))
	fence := s.take("p/0", 0)
	logtest.WantCode(t, "an owner", end(), fault.Conflict)
	s.check(s.ledger.Give(ctx, fence))
	logtest.WantCode(t, "changed meanwhile", s.EndUnits(ctx, pair, spec.SharedDocument{Kind: "shards", ID: "p", Revision: 7}), fault.Conflict)
	if s.body() != "2" {
		t.Errorf("the document is %q", s.body())
	}
	s.check(end())
	if s.body() != "" {
		t.Errorf("the document is %q", s.body())
	}
	if fenced := s.save([]spec.Fence{fence}, "p/0", 5, nil); !slices.Equal(fenced, []spec.Fence{fence}) {
		t.Errorf("got %v, want the former owner fenced", fenced)
	}
	s.check(s.Claim(ctx, "p", "shards", 8, func(document []byte) ([]string, error) {
		if document != nil {
			t.Errorf("the document is %q", document)
		}
		return []string{"p"}, nil
	}))
}

func TestClaimIsOfAllUnits(t *testing.T) {
	s := open(t)
	claim := func(plugin string, seq uint64) {
		t.Helper()
		s.check(s.Claim(t.Context(), plugin, "shards", seq, func(document []byte) ([]string, error) {
			if document == nil {
				return []string{plugin}, nil
			}
			return spec.Units(plugin, len(document)), nil
		}))
	}
	found := func(want string) {
		t.Helper()
		cursors, err := s.Cursors(t.Context())
		s.check(err)
		var text []string
		for _, c := range cursors {
			text = append(text, fmt.Sprintf("%s=%d", c.Handler(), c.Seq))
		}
		if got := strings.Join(text, " "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	claim("q", 4)
	claim("q", 7)
	found("q=4")
	_, err := s.Share(t.Context(), spec.SharedDocument{Kind: "shards", ID: "q", Body: []byte("xx")})
	s.check(err)
	claim("q", 7)
	found("q=4")
	s.check(s.ForgetHandler(t.Context(), "q"))
	claim("q", 8)
	claim("q", 9)
	found("q/0=8 q/1=8")
	s.check(s.ForgetHandler(t.Context(), "q/1")) // as an uninstallation that was cut off does
	claim("q", 10)
	found("q/0=8 q/1=10")
}

// dump returns what a change can have changed.
func (s *store) dump() string {
	s.t.Helper()
	ctx := s.t.Context()
	c, err := pgx.Connect(ctx, pgtest.URL(s.t))
	s.check(err)
	defer c.Close(ctx) //nolint:errcheck // it only reads
	var text strings.Builder
	for _, table := range strings.Fields("units cursors replays deliveries outcome_blocks shared revisions") {
		var rows string
		s.check(c.QueryRow(ctx, fmt.Sprintf(`SELECT coalesce(string_agg(r, E'\n' ORDER BY r), '') FROM (SELECT t::text AS r FROM %s.%s AS t) AS rows`,
			s.schema, table)).Scan(&rows))
		fmt.Fprintf(&text, "%s\n%s\n", table, rows)
	}
	return text.String()
}

// TestEachStepFails fails every table that a change writes, by an error and by the end of the
// connection: the database has nothing of the change. Called again it is stored whole, and a third
// call is a conflict and changes nothing.
func TestEachStepFails(t *testing.T) {
	for name, do := range map[string]func(context.Context, *store) error{
		"units cursors replays revisions shared": func(ctx context.Context, s *store) error {
			return s.BeginUnits(ctx, pair, []string{"p"}, 9, document(1)(1))
		},
		"units revisions shared": func(ctx context.Context, s *store) error { return s.CutUnits(ctx, pair, document(1)) },
		"units shared revisions": func(ctx context.Context, s *store) error { // of a plugin without a position
			return s.EndUnits(ctx, spec.Units("q", 2), spec.SharedDocument{Kind: "shards", ID: "p", Revision: 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			s.save(nil, "p/1", 9, []uint64{3})
			s.save(nil, "p/0", 9, nil)
			s.check(s.StartReplay(t.Context(), "p/1", 2, 3, time.Unix(4, 0)))
			s.save(nil, "p/1", 9, nil)
			s.check(s.ledger.Give(t.Context(), s.take("p/1", 0)))
			_, err := s.Share(t.Context(), document(0)(1))
			s.check(err)
			before := s.dump()
			for _, table := range strings.Fields(name) {
				for _, action := range []string{`RAISE EXCEPTION 'injected' USING ERRCODE = '58030'`, `PERFORM pg_terminate_backend(pg_backend_pid())`} {
					pgtest.Exec(t, fmt.Sprintf(`CREATE FUNCTION %[1]s.inject() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %[3]s; RETURN coalesce(NEW, OLD); END $$;
						CREATE TRIGGER inject BEFORE INSERT OR UPDATE OR DELETE ON %[1]s.%[2]s FOR EACH ROW EXECUTE FUNCTION %[1]s.inject()`, s.schema, table, action))
					logtest.WantCode(t, table+": "+action, do(t.Context(), s), fault.Unavailable)
					pgtest.Exec(t, fmt.Sprintf(`DROP FUNCTION %s.inject CASCADE`, s.schema))
					if got := s.dump(); got != before {
						t.Fatalf("%s, %s: got\n%s\nwant\n%s", table, action, got, before)
					}
				}
			}
			s.check(do(t.Context(), s))
			after := s.dump()
			if after == before {
				t.Error("nothing has changed")
			}
			logtest.WantCode(t, "repeated", do(t.Context(), s), fault.Conflict)
			if got := s.dump(); got != after {
				t.Errorf("repeated: got\n%s\nwant\n%s", got, after)
			}
		})
	}
}
