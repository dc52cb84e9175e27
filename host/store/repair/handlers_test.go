package repair

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/berth-host/berth/host/event/pack"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/pages"
	"github.com/berth-host/berth/host/store/schema"
)

func TestGapConcernsHandlers(t *testing.T) {
	key := func(handler string, seq int64) []any { return []any{handler, seq} }
	for _, tt := range []struct {
		name         string
		after, until []any
		handler      string
		want         uint64
		concerned    bool
	}{
		{"no bounds", nil, nil, "b", 0, true},
		{"within one handler", key("b", 10), key("b", 20), "b", 10, true},
		{"another handler before", key("b", 10), key("b", 20), "a", 0, false},
		{"another handler behind", key("b", 10), key("b", 20), "c", 0, false},
		{"from a handler before", key("a", 10), key("b", 20), "b", 0, true},
		{"to a handler behind", key("b", 10), key("c", 20), "b", 10, true},
		{"between", key("a", 10), key("c", 20), "b", 0, true},
		{"to the end", key("b", 10), nil, "c", 0, true},
		{"to the end, of one before", key("b", 10), nil, "a", 0, false},
		{"from the start", nil, key("b", 20), "a", 0, true},
		{"from the start, of one behind", nil, key("b", 20), "c", 0, false},
		{"one refused entry", key("b", 10), key("b", 10), "b", 9, true},
		{"keys that are none", []any{int64(1)}, []any{"b"}, "b", 0, true},
	} {
		if got, concerned := concerns(pages.Gap{After: tt.after, Until: tt.until}, tt.handler); got != tt.want || concerned != tt.concerned {
			t.Errorf("%s: got %d, %v, want %d, %v", tt.name, got, concerned, tt.want, tt.concerned)
		}
	}
}

func TestSeqsOfGaps(t *testing.T) {
	one := func(after, until int64) pages.Gap { return pages.Gap{After: []any{after}, Until: []any{until}} }
	got := seqsOf([]pages.Gap{one(50, 60), one(10, 20), one(20, 25), one(12, 13), {Until: []any{int64(3)}}, {After: []any{int64(90)}}})
	if want := "[1 to 3 11 to 25 51 to 60 91 to 9223372036854775806]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// TestOverlappingBlocksAreSeparated has an old block of a page that was outdated: the outcomes
// that the newer block does not have become deliveries.
func TestOverlappingBlocksAreSeparated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	db, err := datafile.Create(path)
	must(t, err)
	defer db.Close()
	must(t, schema.Upgrade(t.Context(), db, path, schema.Latest()))
	j := &job{gaps: map[string][]pages.Gap{"outcome_blocks": {{}}}}
	j.catalog, err = readCatalog(t.Context(), db)
	must(t, err)
	_, err = newOutput(t.Context(), db, j.catalog)
	must(t, err)
	var encoder pack.Encoder
	add := func(handler string, from, to uint64) {
		var list []pack.Outcome
		for seq := from; seq <= to; seq++ {
			list = append(list, pack.Outcome{Seq: seq, At: int64(seq), Result: fmt.Appendf(nil, `"%s %d"`, handler, seq)})
		}
		exec(t, db, `INSERT INTO outcome_blocks (handler, first_seq, last_seq, newest_at, outcomes, block) VALUES (?, ?, ?, ?, ?, ?)`, handler,
			int64(from), int64(to), int64(to), len(list), encoder.Append(nil, list))
	}
	add("a", 8, 12) // old
	add("a", 10, 20)
	add("a", 21, 30)
	add("b", 15, 16)
	for seq := 1; seq <= 30; seq++ {
		ev := newEvent(t, seq)
		m := ev.Metadata()
		exec(t, db, `INSERT INTO events (seq, event_id, idempotency_key, type, subject, appended_at, envelope) VALUES (?, ?, ?, ?, ?, 1, ?)`, seq, m.EventID, m.IdempotencyKey, string(ev.Type()), m.Subject, ev.Envelope())
	}
	tx, err := db.BeginTx(t.Context(), nil)
	must(t, err)
	r := &reconciliation{job: j, ctx: t.Context(), tx: tx}
	must(t, r.blocks())
	must(t, tx.Commit())
	got := contentAs(t, db.QueryRow, `SELECT group_concat(handler || first_seq || '-' || last_seq, ' ') FROM (SELECT * FROM outcome_blocks ORDER BY handler, first_seq)`)
	if got != "a10-20 a21-30 b15-16" {
		t.Errorf("blocks: %s", got)
	}
	got = contentAs(t, db.QueryRow, `SELECT group_concat(handler || seq || status || result, ' ') FROM (SELECT * FROM deliveries ORDER BY seq)`)
	if got != `a8ok"a 8" a9ok"a 9"` {
		t.Errorf("deliveries: %s", got)
	}
}

// TestLostResultsAreShownAsNotKept: events of a lost block do not look as if the handler had
// never had them. The range ends before the next block, or at the handler's position.
func TestLostResultsAreShownAsNotKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	db, err := datafile.Create(path)
	must(t, err)
	defer db.Close()
	must(t, schema.Upgrade(t.Context(), db, path, schema.Latest()))
	j := &job{gaps: map[string][]pages.Gap{"outcome_blocks": {{}}}}
	j.catalog, err = readCatalog(t.Context(), db)
	must(t, err)
	_, err = newOutput(t.Context(), db, j.catalog)
	must(t, err)
	var encoder pack.Encoder
	for _, at := range []int64{1, 11} {
		exec(t, db, `INSERT INTO outcome_blocks (handler, first_seq, last_seq, newest_at, outcomes, block) VALUES ('a', ?, ?, 1, 1, ?)`, at, at+4,
			encoder.Append(nil, []pack.Outcome{{Seq: uint64(at), At: 1}}))
	}
	exec(t, db, `INSERT INTO cursors VALUES ('handler/a', 30), ('handler/b', 40), ('thinned-from/b', 5), ('thinned-to/b', 7), ('thinned-from/c', 0), ('thinned-to/c', 0)`)
	for _, lost := range []struct {
		handler string
		seq     int64
	}{{"a", 1}, {"a", 6}, {"b", 15}, {"c", 3}} { // the first is stored again
		exec(t, db, `INSERT INTO missing_blocks (handler, seq) VALUES (?, ?)`, lost.handler, lost.seq)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	must(t, err)
	r := &reconciliation{job: j, ctx: t.Context(), tx: tx}
	must(t, r.blocks())
	must(t, tx.Commit())
	got := contentAs(t, db.QueryRow, `SELECT group_concat(name || ' ' || seq, ', ') FROM (SELECT * FROM cursors WHERE name GLOB 'thinned-*' ORDER BY name)`)
	if want := "thinned-from/a 6, thinned-from/b 5, thinned-from/c 3, thinned-to/a 10, thinned-to/b 40, thinned-to/c 3"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func contentAs[R interface{ Scan(...any) error }](t *testing.T, query func(string, ...any) R, text string) (got string) {
	t.Helper()
	must(t, query(text).Scan(&got))
	return got
}
