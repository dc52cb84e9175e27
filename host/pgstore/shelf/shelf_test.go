package shelf_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/pgstore/shelf"
	"github.com/berth-host/berth/host/spec"
)

func TestMain(m *testing.M) { pgtest.Start(m) }

func open(t *testing.T) (*shelf.Shelf, *conn.DB) {
	t.Helper()
	db, err := conn.Open(t.Context(), conn.Config{URL: pgtest.URL(t), Schema: pgtest.Schema(t), Migrations: []string{conn.Units + shelf.Schema}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return shelf.New(db), db
}

func TestShareNeedsThePresentRevision(t *testing.T) {
	s, _ := open(t)
	ctx := t.Context()
	share := func(id, body string, seen, want uint64, code fault.Code) {
		t.Helper()
		d := spec.SharedDocument{Kind: "setting", ID: id, Revision: seen}
		if body != "" {
			d.Body = []byte(body)
		}
		got, err := s.Share(ctx, d)
		logtest.WantCode(t, fmt.Sprintf("share %s %s at %d", id, body, seen), err, code)
		if got != want {
			t.Errorf("share %s %s at %d: got the revision %d, want %d", id, body, seen, got, want)
		}
	}
	share("a", "1", 1, 0, fault.Conflict)
	share("a", "1", 0, 1, "")
	share("a", "2", 0, 0, fault.Conflict)
	share("a", "2", 1, 2, "")
	share("b", "\x00\xff", 0, 1, "")
	share("B", "3", 0, 1, "")
	share("a", "", 1, 0, fault.Conflict)
	share("none", "", 0, 0, "")
	want := []spec.SharedDocument{
		{Kind: "setting", ID: "B", Body: []byte("3"), Revision: 1},
		{Kind: "setting", ID: "a", Body: []byte("2"), Revision: 2},
		{Kind: "setting", ID: "b", Body: []byte("\x00\xff"), Revision: 1},
	}
	if got, err := s.Shared(ctx, "setting"); !reflect.DeepEqual(got, want) || err != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := s.Shared(ctx, "other"); got != nil || err != nil {
		t.Errorf("of another kind: got %+v, %v", got, err)
	}
	// A caller with a revision from before a removal does not replace the new document.
	share("a", "", 2, 0, "")
	share("a", "3", 2, 0, fault.Conflict)
	share("a", "4", 0, 4, "")
	share("a", "5", 1, 0, fault.Conflict)
	for _, d := range []spec.SharedDocument{{Kind: "k"}, {ID: "i"}} {
		_, err := s.Share(ctx, d)
		logtest.WantCode(t, "without a name", err, fault.Invalid)
	}
}

// TestShareHasOneWinner has several hosts count in one document, and others in documents of
// the same kind; the revision of the kind counts all changes.
func TestShareHasOneWinner(t *testing.T) {
	s, db := open(t)
	ctx := t.Context()
	const hosts, each = 4, 10
	var wg sync.WaitGroup
	for h := range hosts {
		wg.Go(func() {
			for i := range each {
				for {
					list, err := s.Shared(ctx, "lock")
					var d spec.SharedDocument
					if len(list) > 0 {
						d = list[0]
					}
					if err == nil {
						_, err = s.Share(ctx, spec.SharedDocument{Kind: "lock", ID: "plugins", Body: append(d.Body, 'x'), Revision: d.Revision})
					}
					if err == nil {
						break
					}
					if !fault.Is(err, fault.Conflict) {
						t.Error(err)
						return
					}
				}
				if _, err := s.Share(ctx, spec.SharedDocument{Kind: "lock", ID: fmt.Sprint("z", h, "-", i), Body: []byte{}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	list, err := s.Shared(ctx, "lock")
	if err != nil || len(list) != 1+hosts*each || len(list[0].Body) != hosts*each || list[0].Revision != hosts*each {
		t.Errorf("got %d documents, %v, the first one %+v", len(list), err, list[0])
	}
	var revision int
	if err := db.Read(ctx, "read", func(ctx context.Context, tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT revision FROM revisions WHERE kind = 'lock'`).Scan(&revision)
	}); err != nil || revision != 2*hosts*each {
		t.Errorf("the revision of the kind is %d, %v, want %d", revision, err, 2*hosts*each)
	}
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func TestModules(t *testing.T) {
	s, db := open(t)
	ctx := t.Context()
	large := bytes.Repeat([]byte("0123456789abcde"), 200_000) // of three parts
	part := make([]byte, 1<<20)
	for _, content := range [][]byte{[]byte("\x00asm"), large, part} {
		for range 2 {
			if err := s.PutModule(ctx, sumOf(content), content); err != nil {
				t.Fatal(err)
			}
		}
		got, found, err := s.Module(ctx, sumOf(content))
		if !bytes.Equal(got, content) || !found || err != nil {
			t.Errorf("got %d bytes, %v, %v, want %d", len(got), found, err, len(content))
		}
	}
	logtest.WantCode(t, "under another digest", s.PutModule(ctx, sumOf(large), part), fault.Invalid)
	if got, found, err := s.Module(ctx, sumOf(nil)); got != nil || found || err != nil {
		t.Errorf("an unknown module: got %d bytes, %v, %v", len(got), found, err)
	}

	there := func(content []byte) bool {
		t.Helper()
		_, found, err := s.Module(ctx, sumOf(content))
		if err != nil {
			t.Error(err)
		}
		return found
	}
	if err := s.RemoveModules(ctx, nil); err != nil || !there(large) || !there(part) {
		t.Errorf("new modules were removed: %v", err)
	}
	age := func() {
		t.Helper()
		if err := db.Write(ctx, "age", func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE modules SET stored_at = stored_at - interval '2 hours'`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	age()
	if err := s.PutModule(ctx, sumOf(part), part); err != nil { // it is new again
		t.Fatal(err)
	}
	if err := s.RemoveModules(ctx, []string{sumOf([]byte("\x00asm"))}); err != nil || there(large) || !there(part) || !there([]byte("\x00asm")) {
		t.Errorf("an old module remains, or another was removed: %v", err)
	}
	if err := db.Write(ctx, "damage", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE modules SET content = 'x' WHERE sha256 = $1`, sumOf(part))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.Module(ctx, sumOf(part))
	logtest.WantCode(t, "another content", err, fault.Internal)
}

func TestStaleFenceIsRefusedInEveryMethod(t *testing.T) {
	s, db := open(t)
	if err := db.Write(t.Context(), "set an epoch", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO units (name, epoch) VALUES (':retention', 3)`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	calls := map[string]func(context.Context) error{
		"PutDocuments": func(ctx context.Context) error {
			return s.PutDocuments(ctx, []event.Document{{Kind: "k", ID: "i", Body: "b"}})
		},
		"PutModule":     func(ctx context.Context) error { return s.PutModule(ctx, sumOf(nil), nil) },
		"RemoveModules": func(ctx context.Context) error { return s.RemoveModules(ctx, nil) },
		"Share": func(ctx context.Context) error {
			_, err := s.Share(ctx, spec.SharedDocument{Kind: "k", ID: "i", Body: []byte("b")})
			return err
		},
	}
	for name, call := range calls {
		if err := call(spec.WithFence(t.Context(), spec.Fence{Unit: ":retention", Epoch: 2})); !errors.Is(err, spec.ErrFenced) {
			t.Errorf("%s: got %v, want it fenced", name, err)
		}
	}
	docs, err := s.Documents(t.Context(), "k")
	shared, err2 := s.Shared(t.Context(), "k")
	if len(docs)+len(shared) > 0 || err != nil || err2 != nil {
		t.Errorf("a write that was refused is stored: %+v, %+v, %v, %v", docs, shared, err, err2)
	}
	for name, call := range calls {
		if err := call(spec.WithFence(t.Context(), spec.Fence{Unit: ":retention", Epoch: 3})); err != nil {
			t.Errorf("%s in the present epoch: %v", name, err)
		}
	}
}
