package transfer_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	contract "github.com/berth-host/berth/host/event/transfer"
	"github.com/berth-host/berth/host/event/transfer/transfertest"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/transfer"
)

func openSource(t *testing.T, path string) *transfer.Source {
	t.Helper()
	s, err := transfer.OpenSource(t.Context(), path, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openTarget(t *testing.T, path string) *transfer.Target {
	t.Helper()
	target, err := transfer.OpenTarget(t.Context(), path, transfertest.Store, false)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestConformance(t *testing.T) {
	transfertest.Run(t, 3000, func(t *testing.T) transfertest.Engine {
		path := filepath.Join(t.TempDir(), "berth.db")
		return transfertest.Engine{
			Target: func() (contract.Target, func() error) {
				target := openTarget(t, path)
				return target, target.Close
			},
			Source: func() (contract.Source, func() error) {
				s := openSource(t, path)
				return s, s.Close
			},
		}
	})
}

func TestRefusals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	if _, err := transfer.OpenSource(t.Context(), path, nil, slog.New(slog.DiscardHandler)); !fault.Is(err, fault.NotFound) ||
		!strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("no store: got %v", err)
	}
	target := openTarget(t, path)
	if _, err := transfer.OpenTarget(t.Context(), path, transfertest.Store, false); !fault.Is(err, fault.Conflict) {
		t.Errorf("two copies at once: got %v", err)
	}
	if _, err := contract.Copy(t.Context(), contract.Config{From: transfertest.NewMemory(transfertest.Rows(1, 5)), To: target}); err != nil {
		t.Fatal(err)
	}
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(path + ".partial*"); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	for store, restart := range map[string]bool{"another": false, transfertest.Store: true} {
		_, err := transfer.OpenTarget(t.Context(), path, store, restart)
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "move "+path+"* away") {
			t.Errorf("a store is there: got %v", err)
		}
	}
	s := openSource(t, path)
	if _, err := transfer.OpenSource(t.Context(), path, nil, slog.New(slog.DiscardHandler)); !fault.Is(err, fault.Conflict) {
		t.Errorf("a host runs: got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFileWithoutItsName: a run ended after it had completed the file and before it renamed it.
func TestFileWithoutItsName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	from := transfertest.NewMemory(transfertest.Rows(2, 50))
	run := func(progress func(string, string, int64, int64)) ([]contract.Result, error) {
		target := openTarget(t, path)
		results, err := contract.Copy(t.Context(), contract.Config{From: from, To: target, Progress: progress})
		return results, errors.Join(err, target.Close())
	}
	if _, err := run(func(step, _ string, _, _ int64) {
		if err := os.Mkdir(path, 0o700); err != nil && step == "compare" && !os.IsExist(err) { // nothing is renamed to a directory
			t.Error(err)
		}
	}); err == nil {
		t.Fatal("it was not interrupted")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := run(nil); err != nil {
		t.Fatal(err)
	}
	s := openSource(t, path)
	for _, k := range contract.Kinds() {
		if n, err := s.Count(t.Context(), k); err != nil || n != int64(len(from.Rows(k.Name))) {
			t.Errorf("%s: got %d rows, %v; want %d", k.Name, n, err, len(from.Rows(k.Name)))
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRestartForgetsTheCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	target := openTarget(t, path)
	killed := &transfertest.Killed{Target: target, Left: 4}
	if _, err := contract.Copy(t.Context(), contract.Config{From: transfertest.NewMemory(transfertest.Rows(2, 50)), To: killed}); err == nil {
		t.Fatal("it was not interrupted")
	}
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the unfinished copy has the name of the store")
	}
	again, err := transfer.OpenTarget(t.Context(), path, transfertest.Store, true)
	if err != nil {
		t.Fatal(err)
	}
	other := transfertest.NewMemory(transfertest.Rows(3, 50))
	other.ID = "other"
	if _, err := contract.Copy(t.Context(), contract.Config{From: other, To: again}); err != nil {
		t.Error(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
