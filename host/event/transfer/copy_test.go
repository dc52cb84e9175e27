package transfer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/event/transfer"
	"github.com/berth-host/berth/host/event/transfer/transfertest"
)

func TestMemoryEngine(t *testing.T) {
	transfertest.Run(t, 60, func(*testing.T) transfertest.Engine {
		m := transfertest.NewMemory(map[string][]transfer.Row{})
		none := func() error { return nil }
		return transfertest.Engine{
			Target: func() (transfer.Target, func() error) { return m, none },
			Source: func() (transfer.Source, func() error) { return m, none },
		}
	})
}

// TestInterruptedAtEveryWrite ends a copy before and after each of its writes.
func TestInterruptedAtEveryWrite(t *testing.T) {
	rows := transfertest.Rows(7, 20)
	whole, err := transfer.Copy(t.Context(), transfer.Config{From: transfertest.NewMemory(rows), To: transfertest.NewMemory(map[string][]transfer.Row{})})
	if err != nil {
		t.Fatal(err)
	}
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			to := transfertest.NewMemory(map[string][]transfer.Row{})
			killed := &transfertest.Killed{Target: to, Left: n, After: after}
			if _, err := transfer.Copy(t.Context(), transfer.Config{From: transfertest.NewMemory(rows), To: killed}); err == nil {
				break // after the last write
			}
			if to.Committed {
				t.Fatalf("write %d: it was committed", n)
			}
			got, err := transfer.Copy(t.Context(), transfer.Config{From: transfertest.NewMemory(rows), To: to})
			if err != nil || !slices.Equal(got, whole) || !to.Committed {
				t.Fatalf("write %d: got %v, %v, want %v", n, got, err, whole)
			}
		}
	}
}

// wrong is a source that fails, or whose rows change on the way.
type wrong struct {
	*transfertest.Memory
	kind string
	err  error
}

// Page implements transfer.Source.
func (w wrong) Page(ctx context.Context, k *transfer.Kind, after transfer.Row) ([]transfer.Row, error) {
	if k.Name == w.kind && after != nil {
		return nil, w.err
	}
	return w.Memory.Page(ctx, k, after)
}

func TestErrorsNameTheKind(t *testing.T) {
	rows := transfertest.Rows(9, 40)
	rows["kv"] = []transfer.Row{{[]byte("p"), []byte("k"), []byte("v"), int64(0)}}
	broken := errors.New("the disk is broken")
	to := transfertest.NewMemory(map[string][]transfer.Row{})
	_, err := transfer.Copy(t.Context(), transfer.Config{From: wrong{transfertest.NewMemory(rows), "kv", broken}, To: to})
	if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "copy kv: ") || to.Committed {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := transfer.Copy(ctx, transfer.Config{From: transfertest.NewMemory(rows), To: to}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

// TestOneChangedByteIsFound changes every value of every kind in the copy.
func TestOneChangedByteIsFound(t *testing.T) {
	for _, k := range transfer.Kinds() {
		for i, c := range k.Columns {
			rows := transfertest.Rows(11, 10)
			if len(rows[k.Name]) == 0 {
				row := make(transfer.Row, len(k.Columns))
				for i, c := range k.Columns {
					row[i] = []byte("x")
					if c.Type == transfer.Int {
						row[i] = int64(1)
					}
				}
				rows[k.Name] = []transfer.Row{row}
			}
			to := transfertest.NewMemory(map[string][]transfer.Row{})
			changed := false
			_, err := transfer.Copy(t.Context(), transfer.Config{From: transfertest.NewMemory(rows), To: to, Progress: func(step, _ string, _, _ int64) {
				if step == "compare" && !changed {
					changed = true
					list := to.Rows(k.Name)
					row := slices.Clone(list[len(list)-1])
					if c.Type == transfer.Int {
						row[i] = row[i].(int64) + 1
					} else {
						row[i] = append(slices.Clone(row[i].([]byte)), 0)
					}
					to.Set(k.Name, append(slices.Clone(list[:len(list)-1]), row))
				}
			}})
			if k.Name == "head" {
				continue // it is compared first, before the first progress
			}
			if err == nil || !strings.Contains(err.Error(), "differs from the source in "+k.Name) || to.Committed {
				t.Errorf("%s.%s: got %v", k.Name, c.Name, err)
			}
		}
	}
}
