package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

func TestPreviewAndRestore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	const old = "# mine\nhandlers:\n  x: # this one\n    config: {a: 1}\n"
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	grant := func(e *config.Editor) error {
		_, err := e.SetHandlerGrants("x", []spec.Grant{{Name: "kv"}})
		return err
	}
	e := config.NewEditor(path)
	if before, after, err := e.Preview(grant); err != nil || before != nil || len(after) == 0 {
		t.Errorf("without a file: %q, %q, %v", before, after, err)
	}
	put(old)
	before, after, err := e.Preview(grant)
	if err != nil || string(before) != old || string(after) == old {
		t.Fatalf("got %q, %q, %v", before, after, err)
	}
	holds(old)
	if _, err := e.Restore(before, after); err != nil { // it was never written
		t.Error(err)
	}
	holds(old)
	if err := grant(e); err != nil {
		t.Fatal(err)
	}
	holds(string(after))
	if same, still, err := e.Preview(grant); err != nil || string(same) != string(still) {
		t.Errorf("nothing to do: %q, %q, %v", same, still, err)
	}
	if c, err := e.Restore(before, after); err != nil || c.Handlers["x"].Grants != nil {
		t.Errorf("got %+v, %v", c, err)
	}
	holds(old)
	put(string(after) + "# theirs\n")
	if _, err := e.Restore(before, after); !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v", err)
	}
	holds(string(after) + "# theirs\n")
}
