package repair

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/store"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/pages"
)

const (
	lastEvent = 300
	pageSize  = 4096
)

func start(t testing.TB, path string) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), store.Config{Path: path, Window: bus.NewWindow(bus.WindowConfig{})})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newEvent(t testing.TB, n int) *event.Event {
	t.Helper()
	ev, err := event.New(event.Draft{Type: fmt.Sprint("type-", n%3), Subject: fmt.Sprint("subject-", n%50), IdempotencyKey: fmt.Sprint("key-", n),
		Data: fmt.Appendf(nil, `{"n":%d,"text":%q}`, n, strings.Repeat("ä", n*53%1500))})
	must(t, err)
	return ev
}

// makeStore makes a store with everything that a store can have.
func makeStore(t testing.TB, path string) {
	t.Helper()
	ctx := t.Context()
	s := start(t, path)
	var events []*event.Event
	for n := 1; n <= lastEvent; n++ {
		ev := newEvent(t, n)
		if n%3 == 0 {
			ev = ev.WithOrigin(event.Origin{Publisher: spec.Publisher{Token: fmt.Sprint("t-", n%7), Name: "shop"}, Only: strings.Repeat("h", n%5)})
		}
		if events = append(events, ev); n%40 == 0 || n == lastEvent {
			_, err := s.Append(ctx, append(events, newEvent(t, n-1))) // and a duplicate
			must(t, err)
			events = nil
		}
	}
	at := time.Now()
	ok := event.Successes{Handler: "steady", Digest: strings.Repeat("ab", 32)}
	for seq := uint64(1); seq <= 250; seq++ {
		ok.Append(seq, event.Success{At: at, Duration: time.Duration(seq), Fuel: seq}, fmt.Appendf(nil, `{"seq":%d}`, seq))
	}
	var list []event.Delivery
	for seq := uint64(1); seq <= 240; seq++ {
		d := event.Delivery{Handler: "failing", Seq: seq, Status: event.StatusOK, Attempts: 3, At: at, Result: strings.Repeat("r", int(seq%90))}
		switch {
		case seq == 10 || seq > 100 && seq%20 == 0:
			d.Status, d.ErrorClass, d.ErrorMessage = event.StatusRetrying, event.ClassTrap, "unreachable"
		case seq == 20 || seq > 100 && seq%33 == 0:
			d.Status, d.ErrorClass, d.ErrorMessage = event.StatusDead, event.ClassTrap, "unreachable"
		}
		list = append(list, withAttempts(d)...)
	}
	var documents []event.Document
	for n := range 40 {
		documents = append(documents, event.Document{Kind: fmt.Sprint("kind-", n%3), ID: fmt.Sprint("document-", n),
			Body: fmt.Sprintf("%q", strings.Repeat("d", n*n%1600))})
	}
	must(t, s.PutDocuments(ctx, documents))
	_, _, err := s.SaveDeliveries(ctx, nil, []event.Successes{ok}, list, []event.Cursor{{Name: "handler/steady", Seq: 250},
		{Name: "handler/failing", Seq: 230}, {Name: "handler/new", Seq: 290}, {Name: "handler/behind", Seq: 90}})
	must(t, err)
	for from := uint64(1); from < 280; from += 40 { // blocks that a merge would join have other handlers' between them
		results := event.Successes{Handler: fmt.Sprint("packed-", from%3), List: nil}
		for seq := from; seq < from+40; seq++ {
			results.Append(seq, event.Success{At: at, Duration: 5, Fuel: 9}, fmt.Appendf(nil, `{"seq":%d,"text":"%x"}`, seq, seq*seq*7919*seq))
		}
		_, _, err := s.SaveDeliveries(ctx, nil, []event.Successes{results}, nil, []event.Cursor{{Name: "handler/" + results.Handler, Seq: from + 20}})
		must(t, err)
	}
	_, err = s.Redrive(ctx, event.DeadFilter{Handler: "failing", EventID: "key-132"})
	must(t, err)
	must(t, s.StartReplay(ctx, "steady", 180, 200, at))
	_, err = s.Write(ctx, func(tx *sql.Tx) ([]*event.Event, error) {
		for n := range 120 {
			if _, err := tx.Exec(`INSERT INTO kv (plugin, key, value, until) VALUES (?, ?, ?, nullif(?, 0))`, fmt.Sprint("plugin-", n%3), fmt.Sprint("key-", n),
				[]byte(strings.Repeat("v", n*97%6000)), n%4<<60); err != nil {
				return nil, err
			}
		}
		if _, err := tx.Exec(`DELETE FROM kv WHERE plugin = 'plugin-0' AND length(value) > 3000`); err != nil {
			return nil, err
		}
		for n := range 80 {
			if _, err := tx.Exec(`INSERT INTO orders VALUES (?, 'c', 'EUR', ?, 5, 'created', 1, 1, 1)`, fmt.Sprint("order-", n), strings.Repeat("i", n*31%800)); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	must(t, err)
	_, err = s.Trim(ctx, 80)
	must(t, err)
	must(t, s.Close())
}

// withAttempts returns a delivery after the failed attempts before it.
func withAttempts(d event.Delivery) (list []event.Delivery) {
	for number := 1; number < d.Attempts; number++ {
		before := d
		before.Status, before.Attempts, before.ErrorClass, before.ErrorMessage = event.StatusRetrying, number, event.ClassTrap, strings.Repeat("m", int(d.Seq%40))
		if before.At = d.At.Add(-time.Second); (int(d.Seq)+number)%3 == 0 {
			before.Logs = []spec.GuestLine{{At: before.At, Level: "warn", Message: strings.Repeat("ö", int(d.Seq))}}
		}
		list = append(list, before)
	}
	return append(list, d)
}

// files are the content of the files of a store, by suffix.
type contents map[string][]byte

func readFiles(t testing.TB, path string) contents {
	t.Helper()
	c := make(contents)
	for _, suffix := range []string{"", "-wal", datafile.WatermarkSuffix} {
		content, err := os.ReadFile(path + suffix)
		must(t, err)
		c[suffix] = content
	}
	return c
}

// writeTo writes the files to a directory and returns the path of the store.
func (c contents) writeTo(t testing.TB, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "berth.db")
	for suffix, content := range c {
		must(t, os.WriteFile(path+suffix, content, 0o600))
	}
	return path
}

// content is what a store has, by table: each entry as a text.
type content map[string]map[string]bool

// contentOf reads the tables that a repair exports.
func contentOf(t testing.TB, path string) content {
	t.Helper()
	db, err := datafile.OpenReadOnly(path)
	must(t, err)
	defer db.Close()
	c, err := readCatalog(context.Background(), db)
	must(t, err)
	all := make(content)
	for _, t2 := range c.tables {
		if slices.Contains(derived, t2.name) && !slices.Contains([]string{"kv_usage", "attempt_logs", "stretches"}, t2.name) {
			continue
		}
		all[t2.name] = make(map[string]bool)
		names := make([]string, len(t2.columns))
		for i, column := range t2.columns {
			names[i] = "quote(" + column.name + ")"
		}
		result, err := db.Query(`SELECT ` + strings.Join(names, " || ' ' || ") + ` FROM ` + t2.name)
		var entry string
		must(t, datafile.Each(result, err, func() { all[t2.name][entry] = true }, &entry))
	}
	return all
}

// pending are the events that the handlers of a store get after a start, by handler.
func pending(t testing.TB, s *store.Store, handlers ...string) map[string]map[uint64]bool {
	t.Helper()
	list := make(map[string]map[uint64]bool)
	for _, handler := range handlers {
		list[handler] = make(map[uint64]bool)
		b, err := s.LoadBacklog(t.Context(), handler)
		must(t, err)
		for from := b.Cursor + 1; ; {
			records, err := s.Read(t.Context(), from, 4096)
			must(t, err)
			if len(records) == 0 {
				break
			}
			for _, r := range records {
				list[handler][r.Seq] = !b.Replay.Skips(r.Seq)
				from = r.Seq + 1
			}
		}
		for _, seq := range b.Done {
			delete(list[handler], seq)
		}
		for seq, is := range list[handler] {
			if !is {
				delete(list[handler], seq)
			}
		}
		redriven, err := s.Redriven(t.Context(), handler, 0, 10_000)
		must(t, err)
		for _, d := range append(b.Open, redriven...) {
			list[handler][d.Seq] = true
		}
	}
	return list
}

// entry is an entry of a sound store, with its table and the pages that it needs.
type entry struct {
	table string
	text  string
	pages []uint32
}

// entriesOf lists the entries of the exported tables of a sound store.
func entriesOf(t testing.TB, path string) (list []entry) {
	t.Helper()
	db, err := datafile.OpenReadOnly(path)
	must(t, err)
	defer db.Close()
	c, err := readCatalog(t.Context(), db)
	must(t, err)
	roots := make(map[uint32]string)
	var name string
	var root uint32
	result, err := db.Query(`SELECT name, rootpage FROM sqlite_schema WHERE type = 'table'`)
	must(t, datafile.Each(result, err, func() { roots[root] = name }, &name, &root))
	im, err := pages.Open(path, nil)
	must(t, err)
	defer im.Close()
	must(t, im.Orphans(func(o pages.Orphan) (bool, error) {
		t2 := c.table(roots[o.Root])
		if t2 == nil {
			return false, nil
		}
		for _, e := range o.Entries {
			list = append(list, entry{t2.name, t2.describe(e), append([]uint32{o.Page}, o.Continued...)})
		}
		return false, nil
	}))
	return list
}

// keysOf lists the keys of the entries of the exported tables, as describe makes them.
func keysOf(t testing.TB, path string) map[string]bool {
	t.Helper()
	keys := make(map[string]bool)
	for _, e := range entriesOf(t, path) {
		keys[e.table+" "+e.text] = true
	}
	return keys
}
