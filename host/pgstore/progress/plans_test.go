package progress_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/pgstore/pgtest"
)

// scans returns how often each table of a schema was read as a whole. The server counts it when
// a connection ends.
func scans(t *testing.T, schema string) map[string]int {
	t.Helper()
	ctx := t.Context()
	c, err := pgx.Connect(ctx, pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it only reads
	counts := make(map[string]int)
	for open := 1; open > 0; { // the engine's connections have ended
		if err := c.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'berth'`).Scan(&open); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := c.Query(ctx, `SELECT relname, seq_scan FROM pg_stat_user_tables WHERE schemaname = $1`, schema)
	if err != nil {
		t.Fatal(err)
	}
	var table string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&table, &n}, func() error {
		counts[table] = n
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return counts
}

// TestNoTableIsReadWhole: every method finds its rows by an index, also while the tables are
// small and the server has no statistics of them.
func TestNoTableIsReadWhole(t *testing.T) {
	e := open(t, options{now: noon})
	e.Close()
	before := scans(t, e.schema)
	if len(before) < 10 {
		t.Fatalf("the server counts %v", before)
	}
	events := logtest.Numbered(t, "k", 12)
	for i, c := range changes(t) {
		e = open(t, options{schema: e.schema, now: noon})
		if i == 0 {
			prepare(t, e, events)
		}
		for range 8 { // the server makes a plan for all parameters after some executions
			if err := c.do(t.Context(), e); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			for seq := range uint64(3) {
				e.Deliveries(t.Context(), seq) //nolint:errcheck // only how it is done counts
				e.Attempts(t.Context(), seq)   //nolint:errcheck // likewise
			}
			for _, f := range []event.DeadFilter{{}, {Handler: "h"}, {Handler: "h", OneUnit: true}, {Handler: "h", Class: "trap"}, {Type: "x", Subject: "y"}} {
				e.DeadLetters(t.Context(), f, "", 10) //nolint:errcheck // likewise
			}
			e.LoadBacklog(t.Context(), "h")          //nolint:errcheck // likewise
			e.DeadCounts(t.Context())                //nolint:errcheck // likewise
			e.Redriven(t.Context(), "h", 1, 10)      //nolint:errcheck // likewise
			e.CountRedriven(t.Context(), "h", 1, 10) //nolint:errcheck // likewise
		}
		e.Close()
		for table, n := range scans(t, e.schema) {
			if n > before[table] && table != "head" && table != "berth_schema" { // which have one row
				t.Errorf("%s: the table %s is read whole %d times", c.name, table, n-before[table])
				before[table] = n
			}
		}
	}
}
