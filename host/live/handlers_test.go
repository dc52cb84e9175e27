package live

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-host/berth/abi"
)

// Admit grants capabilities, and Restore restores the file byte for byte, except for
// edits made since.
func TestAdmitThenRestore(t *testing.T) {
	asked := []abi.Capability{{Name: abi.CapabilityKV}, {Name: abi.CapabilityHTTP, Hosts: []string{"b.example"}}}
	for _, tt := range []struct {
		name, text, edit, want string
	}{
		{"no section", "# mine\nroutes: {}\n", "", "# mine\nroutes: {}\n"},
		{"a section", "handlers:\n  x: # one\n    enabled: false\n", "", "handlers:\n  x: # one\n    enabled: false\n"},
		{"a grant", "handlers: {x: {grants: [{name: http, hosts: [a.example]}]}}\n", "", "handlers: {x: {grants: [{name: http, hosts: [a.example]}]}}\n"},
		{"no section, edited", "routes: {}\n", "# theirs\n", "routes: {}\nhandlers:\n# theirs\n"},
		{"a section, edited", "handlers:\n  x: {enabled: false}\n", "# theirs\n", "handlers:\n  x: {grants: [], enabled: false}\n# theirs\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "berth.yaml")
			put := func(text string) {
				t.Helper()
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			put(tt.text)
			l, err := Open(Config{Path: path, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			s := Handlers{l}
			lacking := s.Lacking("x", asked)
			if len(lacking) != 2 {
				t.Errorf("lacking: %+v", lacking)
			}
			shot, err := s.Snapshot("x", lacking)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Restore("x", shot); err != nil { // nothing is admitted yet
				t.Fatal(err)
			}
			if err := s.Admit("x", lacking); err != nil {
				t.Fatal(err)
			}
			if lacking := s.Lacking("x", asked); lacking != nil {
				t.Errorf("lacking: %+v", lacking)
			}
			now, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			put(string(now) + tt.edit)
			for range 2 {
				if err := s.Restore("x", shot); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
			if lacking := s.Lacking("x", asked); len(lacking) != 2 {
				t.Errorf("still granted: %+v", lacking)
			}
		})
	}
}

func TestRoutesNamingHandler(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.yaml")
	if err := os.WriteFile(path, []byte("routes: {order_*: {handlers: [x, y]}, a: {exclude: [x]}, b: {}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(Config{Path: path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if got := (Handlers{l}).Routes("x"); len(got) != 1 || got[0] != "order_*" {
		t.Errorf("got %q", got)
	}
}
