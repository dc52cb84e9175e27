package host

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-host/berth/abi"
)

// What is admitted is granted, and taken back to the byte, but nothing that a
// person has written since.
func TestHandlerSettings(t *testing.T) {
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
			h, err := New(Config{ConfigPath: path})
			if err != nil {
				t.Fatal(err)
			}
			s := handlerSettings{h}
			lacking := s.Lacking("x", asked)
			if len(lacking) != 2 {
				t.Errorf("lacking: %+v", lacking)
			}
			shot, err := s.Snapshot("x", lacking)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Restore("x", shot); err != nil { // it was never admitted
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
				t.Errorf("granted still: %+v", lacking)
			}
		})
	}
}

// Whatever others have made of the file: what was admitted is in force no more, and
// nothing of theirs is that was not checked.
func TestRestoreRevokesGrantsWhateverTheFileHolds(t *testing.T) {
	asked := []abi.Capability{{Name: abi.CapabilityKV}}
	for name, tt := range map[string]struct {
		spoil func(path string) error
		fails bool
	}{
		"empty":  {func(path string) error { return os.WriteFile(path, nil, 0o600) }, false},
		"gone":   {os.Remove, false},
		"other":  {func(path string) error { return os.WriteFile(path, []byte("routes: {z: {}}\n"), 0o600) }, false},
		"broken": {func(path string) error { return os.WriteFile(path, []byte("routes: {\n"), 0o600) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := startWithEcho(t, "routes: {a: {}, b: {}}\n")
			settings := handlerSettings{s.host}
			shot, err := settings.Snapshot("x", asked)
			check(t, err)
			check(t, settings.Admit("x", asked))
			check(t, tt.spoil(s.yaml))
			if err := settings.Restore("x", shot); (err != nil) != tt.fails {
				t.Errorf("got %v", err)
			}
			routes := s.host.current.Load().Routes
			if len(routes) != 2 && name != "other" {
				t.Errorf("the routes are %+v", routes)
			}
			if lacking := settings.Lacking("x", asked); len(lacking) != 1 {
				t.Error("it is granted still")
			}
		})
	}
}

func TestRoutesNamingHandler(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.yaml")
	if err := os.WriteFile(path, []byte("routes: {order_*: {handlers: [x, y]}, a: {exclude: [x]}, b: {}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := New(Config{ConfigPath: path})
	if err != nil {
		t.Fatal(err)
	}
	if got := (handlerSettings{h}).Routes("x"); len(got) != 1 || got[0] != "order_*" {
		t.Errorf("got %q", got)
	}
}
