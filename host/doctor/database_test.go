package doctor_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/doctor"
	"github.com/berth-host/berth/host/pgstore"
	"github.com/berth-host/berth/host/pgstore/pgtest"
)

// Without a host the doctor connects to the database itself, and changes nothing there.
func TestDatabaseIsExamined(t *testing.T) {
	schema, later := pgtest.Schema(t), pgtest.Schema(t)
	pgtest.Exec(t, `CREATE SCHEMA `+later, `CREATE TABLE `+later+`.berth_schema (version integer)`, `INSERT INTO `+later+`.berth_schema VALUES (77)`)
	examine := func(postgres string) (found doctor.Finding) {
		t.Helper()
		dir := t.TempDir()
		path := filepath.Join(dir, "c.yaml")
		if err := os.WriteFile(path, []byte("bus: {engine: postgres, postgres: "+postgres+"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, f := range doctor.Examine(t.Context(), doctor.Examination{ConfigPath: path, DataDir: dir}).Checks {
			if f.Check == "store" {
				found = f
			}
		}
		return found
	}
	expect := func(name string, f doctor.Finding, level doctor.Level, detail, advice string) {
		t.Helper()
		if f.Level != level || !strings.Contains(f.Detail, detail) || !strings.Contains(f.Advice, advice) {
			t.Errorf("%s: got %+v", name, f)
		}
	}
	there := fmt.Sprintf("{url: %q, schema: ", pgtest.URL(t))
	for range 2 { // the first examination has not made it
		expect("an empty database", examine(there+schema+"}"), doctor.OK, "has no store yet", "")
	}
	expect("a newer store", examine(there+later+"}"), doctor.Problem, "newer Berth (version 77", "a host does not start")
	expect("no server", examine("{url: 'postgres://berth@127.0.0.1:1/berth'}"), doctor.Problem, "cannot be reached", "repair the server")
	expect("no password", examine("{url: 'postgres://berth@127.0.0.1:1/berth', password: {secret: db}}"), doctor.Problem, "bus.postgres.password", "correct that")

	s, err := pgstore.Open(t.Context(), pgstore.Config{URL: pgtest.URL(t), Schema: schema, Window: bus.NewWindow(bus.WindowConfig{Events: 1})})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	expect("a store on one disk", examine(there+schema+"}"), doctor.Warning, "waits for no standby", "synchronous_standby_names")
}
