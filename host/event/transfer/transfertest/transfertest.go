// Package transfertest has the tests that every engine's transfer.Source and transfer.Target
// pass, and the rows for them.
package transfertest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/berth-host/berth/host/event/transfer"
	"github.com/berth-host/berth/host/fault"
)

// Store is the id of the stores that Rows describes.
const Store = "0123456789abcdef0123456789abcdef"

// Seed returns the seed of a test and logs it. BERTH_SEED repeats a failure.
func Seed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("BERTH_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("BERTH_SEED=%d", seed)
	return seed
}

// free are the columns whose text guests and publishers choose.
var free = map[string]bool{"idempotency_key": true, "subject": true, "envelope": true, "result": true, "error_message": true, "message": true,
	"logs": true, "key": true, "value": true, "block": true}

// Rows returns rows of every kind, each in the order of its key, at most limit of a kind. The
// rows of a seed are always the same ones.
func Rows(seed uint64, limit int) map[string][]transfer.Row {
	r := rand.New(rand.NewPCG(seed, 1))
	rows := make(map[string][]transfer.Row)
	for _, k := range transfer.Kinds() {
		if k.Name == "head" {
			continue
		}
		var list []transfer.Row
		for range r.IntN(limit + 1) {
			row := make(transfer.Row, len(k.Columns))
			for i, c := range k.Columns {
				row[i] = value(r, c)
			}
			list = append(list, row)
		}
		if k.Name == "events" {
			distinct(list)
		}
		slices.SortFunc(list, func(a, b transfer.Row) int { return Compare(k, a, b) })
		rows[k.Name] = slices.CompactFunc(list, func(a, b transfer.Row) bool { return Compare(k, a, b) == 0 })
	}
	last := int64(r.IntN(1000))
	if events := rows["events"]; len(events) > 0 {
		last += events[len(events)-1][0].(int64)
	}
	rows["head"] = []transfer.Row{{[]byte(Store), last, int64(r.IntN(int(min(last, 1<<20)) + 1))}}
	unique(rows)
	return rows
}

// distinct gives events keys of their own.
func distinct(list []transfer.Row) {
	for i, row := range list {
		row[2] = fmt.Appendf(row[2].([]byte), "-%d", i)
		if i%3 == 0 {
			row[1] = row[2] // the id is the key
		}
	}
}

// unique makes what engines need to be unique so: the ids of orders, and the attempts of a
// delivery.
func unique(rows map[string][]transfer.Row) {
	for i, row := range rows["orders"] {
		row[1] = fmt.Appendf(nil, "ord-%d", i)
	}
	for i, row := range rows["attempts"] {
		row[3] = int64(i + 1)
	}
	for i, row := range rows["scheduled"] {
		row[4], row[5] = fmt.Appendf(nil, "id-%d", i), fmt.Appendf(row[5].([]byte), "-later-%d", i)
	}
}

// value returns a value of a column.
func value(r *rand.Rand, c transfer.Column) any {
	switch {
	case c.Type == transfer.Int && (c.Name == "seq" || c.Name == "id" || c.Name == "position" || c.Name == "first_seq"):
		return 1 + r.Int64N(1<<40)
	case c.Name == "fuel":
		return int64(r.Uint64()) // the bits of a uint64
	case c.Name == "purged":
		return r.Int64N(2)
	case c.Type == transfer.Int && r.IntN(4) == 0:
		return int64(0)
	case c.Name == "attempts" || c.Name == "number" || c.Name == "outcomes" || c.Name == "instance" || c.Name == "log_size" || c.Name == "version":
		return r.Int64N(math.MaxInt32)
	case c.Type == transfer.Int:
		return r.Int64N(math.MaxInt64 >> 8)
	case free[c.Name]:
		b := make([]byte, r.IntN(40))
		for i := range b {
			b[i] = byte(r.Uint32()) // also U+0000 and what is no UTF-8
		}
		return b
	case c.Name == "items":
		return []byte(`[{"sku":"A","quantity":1,"unit_price_cents":5}]`)
	}
	names := []string{"a", "b", "handler-with-a-long-name", "Z", "é", "ok", "dead", "retry", "\U0001F4A5"}
	return []byte(names[r.IntN(len(names))] + strconv.Itoa(r.IntN(50)))
}

// Compare compares the keys of two rows.
func Compare(k *transfer.Kind, a, b transfer.Row) int {
	for i := range k.Key {
		n := 0
		if k.Columns[i].Type == transfer.Int {
			n = cmp.Compare(a[i].(int64), b[i].(int64))
		} else {
			n = bytes.Compare(a[i].([]byte), b[i].([]byte))
		}
		if n != 0 {
			return n
		}
	}
	return 0
}

// Memory is an engine in memory, without a difference between a partial and a complete copy.
// It is safe for concurrent use.
type Memory struct {
	ID        string
	Committed bool

	mu        sync.Mutex
	rows      map[string][]transfer.Row
	positions map[string]transfer.Position
}

// NewMemory returns an engine with these rows.
func NewMemory(rows map[string][]transfer.Row) *Memory {
	return &Memory{ID: Store, rows: maps.Clone(rows), positions: make(map[string]transfer.Position)}
}

// Rows returns the rows of a kind.
func (m *Memory) Rows(kind string) []transfer.Row {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rows[kind]
}

// Set replaces the rows of a kind.
func (m *Memory) Set(kind string, rows []transfer.Row) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows[kind] = rows
}

// Store implements transfer.Source.
func (m *Memory) Store(context.Context) (string, error) { return m.ID, nil }

// Count implements transfer.Source.
func (m *Memory) Count(_ context.Context, k *transfer.Kind) (int64, error) {
	return int64(len(m.Rows(k.Name))), nil
}

// Page implements transfer.Source. Its pages are short.
func (m *Memory) Page(ctx context.Context, k *transfer.Kind, after transfer.Row) ([]transfer.Row, error) {
	list := m.Rows(k.Name)
	if after != nil {
		i, found := slices.BinarySearchFunc(list, after, func(row, key transfer.Row) int { return Compare(k, row, key) })
		if found {
			i++
		}
		list = list[i:]
	}
	return list[:min(len(list), 7)], ctx.Err()
}

// Begin implements transfer.Target.
func (m *Memory) Begin(_ context.Context, store string) (transfer.Progress, error) {
	if m.ID != store && len(m.positions) > 0 {
		return transfer.Progress{}, fault.New(fault.Conflict, "the copy of another store")
	}
	m.ID = store
	return transfer.Progress{Positions: m.positions, Complete: m.Committed}, nil
}

// Write implements transfer.Target.
func (m *Memory) Write(_ context.Context, k *transfer.Kind, rows []transfer.Row, at transfer.Position) error {
	m.Set(k.Name, slices.Concat(m.Rows(k.Name), rows))
	m.positions[k.Name] = at
	return nil
}

// Commit implements transfer.Target.
func (m *Memory) Commit(context.Context) error {
	m.Committed = true
	return nil
}

// errKilled is where a test interrupts a copy.
var errKilled = errors.New("killed")

// Killed is a target whose process ends at a write: before it, or after it and before the
// copy knows.
type Killed struct {
	transfer.Target
	Left  int // writes until then
	After bool
}

// Write implements transfer.Target.
func (k *Killed) Write(ctx context.Context, kind *transfer.Kind, rows []transfer.Row, at transfer.Position) error {
	if k.Left--; k.Left > 0 {
		return k.Target.Write(ctx, kind, rows, at)
	}
	if k.After {
		if err := k.Target.Write(ctx, kind, rows, at); err != nil {
			return err
		}
	}
	return errKilled
}

// Engine opens the two sides of an engine for Run. Each call of a function of one Engine is
// about the same store.
type Engine struct {
	// Target opens the copy of Store, and begins one when there is none; close ends the run,
	// and never makes it complete.
	Target func() (t transfer.Target, close func() error)
	// Source opens the complete copy.
	Source func() (s transfer.Source, close func() error)
}

// Run copies random rows into an engine, from memory, with kills in between, and back.
func Run(t *testing.T, limit int, open func(t *testing.T) Engine) {
	seed := Seed(t)
	t.Run("there and back", func(t *testing.T) {
		e := open(t)
		from := NewMemory(Rows(seed, limit))
		there := copyWithKills(t, from, rand.New(rand.NewPCG(seed, 2)), e.Target)
		source, closeSource := e.Source()
		back := NewMemory(map[string][]transfer.Row{})
		results, err := transfer.Copy(t.Context(), transfer.Config{From: source, To: back})
		if err := errors.Join(err, closeSource()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(results, there) {
			t.Errorf("back: got %v, want %v", results, there)
		}
		for _, k := range transfer.Kinds() {
			if !slices.EqualFunc(back.Rows(k.Name), from.Rows(k.Name), func(a, b transfer.Row) bool {
				return bytes.Equal(a.Append(nil), b.Append(nil))
			}) {
				t.Errorf("%s: the rows differ", k.Name)
			}
		}
	})
	t.Run("a complete copy", func(t *testing.T) {
		e := open(t)
		from := NewMemory(Rows(seed, limit))
		there := copyWithKills(t, from, rand.New(rand.NewPCG(seed, 3)), e.Target)
		again := func() ([]transfer.Result, error) {
			target, closeTarget := e.Target()
			results, err := transfer.Copy(t.Context(), transfer.Config{From: from, To: target})
			return results, errors.Join(err, closeTarget())
		}
		if results, err := again(); err != nil || !slices.Equal(results, there) {
			t.Errorf("got %v, %v; want %v", results, err, there)
		}
		from.Set("cursors", []transfer.Row{{[]byte("new"), int64(5)}})
		if _, err := again(); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "move the copy away") {
			t.Errorf("the source was used: got %v", err)
		}
	})
	t.Run("a copy of another store", func(t *testing.T) {
		e := open(t)
		from := NewMemory(Rows(seed, limit))
		target, closeTarget := e.Target()
		_, err := transfer.Copy(t.Context(), transfer.Config{From: from, To: &Killed{Target: target, Left: 3}})
		if closed := closeTarget(); closed != nil {
			t.Fatal(closed)
		}
		if !killed(err) {
			t.Fatalf("got %v, want the end of the process", err)
		}
		from.ID = "ffffffffffffffffffffffffffffffff"
		target, closeTarget = e.Target()
		_, err = transfer.Copy(t.Context(), transfer.Config{From: from, To: target})
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("got %v, want a conflict", err)
		}
		if err := closeTarget(); err != nil {
			t.Error(err)
		}
	})
	t.Run("a source that was changed", func(t *testing.T) {
		e := open(t)
		from := NewMemory(Rows(seed, limit))
		from.Set("cursors", []transfer.Row{{[]byte("a"), int64(5)}})
		target, closeTarget := e.Target()
		_, err := transfer.Copy(t.Context(), transfer.Config{From: from, To: target, Progress: func(step, kind string, _, _ int64) {
			if step == "copy" && kind == "deliveries" {
				from.Set("cursors", []transfer.Row{{[]byte("a"), int64(6)}})
			}
		}})
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("got %v, want a conflict", err)
		}
		if err := closeTarget(); err != nil {
			t.Error(err)
		}
	})
}

func killed(err error) bool { return errors.Is(err, errKilled) }

// copyWithKills copies a store, and kills the copy at random writes.
func copyWithKills(t *testing.T, from transfer.Source, r *rand.Rand, open func() (transfer.Target, func() error)) []transfer.Result {
	t.Helper()
	for run := 1; ; run++ {
		target, closeTarget := open()
		var to transfer.Target = &Killed{Target: target, Left: 1 + r.IntN(20*run), After: r.IntN(2) == 0}
		results, err := transfer.Copy(t.Context(), transfer.Config{From: from, To: to})
		if closed := closeTarget(); closed != nil {
			t.Fatal(closed)
		}
		if err == nil {
			t.Logf("complete in run %d", run)
			return results
		}
		if !killed(err) {
			t.Fatal(err)
		}
	}
}
