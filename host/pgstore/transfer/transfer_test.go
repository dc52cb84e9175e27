package transfer_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	contract "github.com/berth-host/berth/host/event/transfer"
	"github.com/berth-host/berth/host/event/transfer/transfertest"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/pgstore/transfer"
	"github.com/berth-host/berth/host/spec"
)

func TestMain(m *testing.M) { pgtest.Start(m) }

func config(t *testing.T, schema string) transfer.Config {
	t.Helper()
	return transfer.Config{Database: conn.Config{URL: pgtest.URL(t), Schema: schema, Migrations: pgstore.Migrations()}, Lease: 10 * time.Millisecond}
}

func openTarget(t *testing.T, schema string) *transfer.Target {
	t.Helper()
	target, err := transfer.OpenTarget(t.Context(), config(t, schema), transfertest.Store, false)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func openSource(t *testing.T, schema string) *transfer.Source {
	t.Helper()
	s, err := transfer.OpenSource(t.Context(), config(t, schema))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fill copies rows into a schema.
func fill(t *testing.T, schema string, rows map[string][]contract.Row) {
	t.Helper()
	target := openTarget(t, schema)
	if _, err := contract.Copy(t.Context(), contract.Config{From: transfertest.NewMemory(rows), To: target}); err != nil {
		t.Fatal(err)
	}
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	transfertest.Run(t, 2100, func(t *testing.T) transfertest.Engine {
		schema := pgtest.Schema(t)
		return transfertest.Engine{
			Target: func() (contract.Target, func() error) {
				target := openTarget(t, schema)
				return target, target.Close
			},
			Source: func() (contract.Source, func() error) {
				s := openSource(t, schema)
				return s, s.Close
			},
		}
	})
}

func TestRefusals(t *testing.T) {
	schema := pgtest.Schema(t)
	if _, err := transfer.OpenSource(t.Context(), config(t, schema)); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "bus.postgres.schema") {
		t.Errorf("no store: got %v", err)
	}
	target := openTarget(t, schema)
	if _, err := transfer.OpenTarget(t.Context(), config(t, schema), transfertest.Store, false); !fault.Is(err, fault.Conflict) {
		t.Errorf("two copies at once: got %v", err)
	}
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
	fill(t, schema, transfertest.Rows(1, 5))
	for store, restart := range map[string]bool{"another": false, transfertest.Store: true} {
		_, err := transfer.OpenTarget(t.Context(), config(t, schema), store, restart)
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "DROP SCHEMA "+schema) {
			t.Errorf("a store is there: got %v", err)
		}
	}
	other := pgtest.Schema(t)
	pgtest.Exec(t, `CREATE SCHEMA `+other, `CREATE TABLE `+other+`.customers (id int)`)
	if _, err := transfer.OpenTarget(t.Context(), config(t, other), transfertest.Store, true); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "not Berth's") {
		t.Errorf("another program's schema: got %v", err)
	}
	newer := pgtest.Schema(t)
	fill(t, newer, transfertest.Rows(1, 5))
	pgtest.Exec(t, `UPDATE `+newer+`.berth_schema SET version = 1000`)
	if _, err := transfer.OpenSource(t.Context(), config(t, newer)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "newer Berth") {
		t.Errorf("a newer schema: got %v", err)
	}
}

// TestEmptySchemaIsReplaced: a host that was started on the new engine too early has made the
// tables, and nothing in them.
func TestEmptySchemaIsReplaced(t *testing.T) {
	schema := pgtest.Schema(t)
	db, err := conn.Open(t.Context(), config(t, schema).Database)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	fill(t, schema, transfertest.Rows(4, 20))
	s := openSource(t, schema)
	if id, err := s.Store(t.Context()); err != nil || id != transfertest.Store {
		t.Errorf("got store %s, %v", id, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestRunningHostsAreFound(t *testing.T) {
	schema := pgtest.Schema(t)
	fill(t, schema, transfertest.Rows(5, 5))
	body, err := json.Marshal(spec.Member{ID: "m", Name: "host-7", URL: "http://host-7:8080"})
	if err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, `INSERT INTO `+schema+`.members VALUES ('m', 1, convert_to('`+string(body)+`', 'UTF8'))`)
	openSource(t, schema).Close() // it was killed: its row does not change
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				pgtest.Exec(t, `UPDATE `+schema+`.members SET beat = beat + 1`)
			}
		}
	}()
	cfg := config(t, schema)
	cfg.Lease = time.Second
	_, err = transfer.OpenSource(t.Context(), cfg)
	close(stop)
	<-stopped
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "stop host-7 (http://host-7:8080)") {
		t.Errorf("got %v", err)
	}
}

// TestShardsAreNotCopied: an engine of one host does not know them.
func TestShardsAreNotCopied(t *testing.T) {
	schema := pgtest.Schema(t)
	store, err := pgstore.Open(t.Context(), pgstore.Config{URL: pgtest.URL(t), Schema: schema, Window: bus.NewWindow(bus.WindowConfig{})})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	refused := func(want string) {
		t.Helper()
		s, err := transfer.OpenSource(t.Context(), config(t, schema))
		if want == "" && err == nil {
			s.Close()
		} else if want == "" || !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	refused("")
	ev, err := event.New(event.Draft{Type: "t", Data: []byte("{}")})
	if err == nil {
		_, err = store.Append(t.Context(), []*event.Event{ev})
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.SaveDeliveries(t.Context(), nil, nil, []event.Delivery{{Handler: "enrich/3", Seq: 1, Status: event.StatusDead, Attempts: 1}},
		[]event.Cursor{{Name: "handler/enrich/3", Seq: 1}, {Name: "handler/mail", Seq: 1}}); err != nil {
		t.Fatal(err)
	}
	refused("enrich has shards: start the hosts with shards: 1")
	if err := store.ForgetHandler(t.Context(), "enrich/3"); err != nil {
		t.Fatal(err)
	}
	refused("")
	if _, _, err := store.SaveDeliveries(t.Context(), nil, nil, []event.Delivery{{Handler: "enrich/3", Seq: 1, Status: event.StatusDead, Attempts: 1}}, nil); err != nil {
		t.Fatal(err)
	}
	refused("enrich has dead letters of former shards")
	if _, err := store.Purge(t.Context(), event.DeadFilter{Handler: "enrich"}); err != nil {
		t.Fatal(err)
	}
	refused("")
}
