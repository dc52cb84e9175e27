package target

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// EventType is the type of every event that the measurements publish.
const EventType = "load"

// Handler is a handler of the measured host.
type Handler struct {
	Name        string
	Guest       string         // of testdata/guests
	Config      map[string]any // nil: none
	Concurrency int            // instances; 0: the host's default
	KV          bool           // it has the capability kv
}

// Handlers returns n handlers of one guest, named h000, h001, and so on.
func Handlers(n int, guest string) []Handler {
	list := make([]Handler, n)
	for i := range list {
		list[i] = Handler{Name: fmt.Sprintf("h%03d", i), Guest: guest}
	}
	return list
}

// Setup is the configuration of the measured host.
type Setup struct {
	Handlers []Handler
	Paused   bool   // no handler gets events
	MaxSize  string // bus.max_size; "": none
}

// document returns the configuration file. JSON is YAML.
func (s Setup) document(plugins string) ([]byte, error) {
	handlers := make(map[string]any, len(s.Handlers))
	for _, h := range s.Handlers {
		settings := map[string]any{"paused": s.Paused}
		if h.Config != nil {
			settings["config"] = h.Config
		}
		if h.Concurrency > 0 {
			settings["limits"] = map[string]any{"concurrency": h.Concurrency}
		}
		if h.KV {
			settings["grants"] = []string{"kv"}
		}
		handlers[h.Name] = settings
	}
	config := map[string]any{
		"plugin_directories": []string{plugins},
		"routes":             map[string]any{EventType: map[string]any{}},
		"handlers":           handlers,
	}
	if s.MaxSize != "" {
		config["bus"] = map[string]any{"max_size": s.MaxSize}
	}
	return json.MarshalIndent(config, "", "  ")
}

// writePlugins puts the handlers' modules, and their manifests before them, into a
// directory.
func (s Setup) writePlugins(dir, guests string) error {
	for _, h := range s.Handlers {
		module, err := os.ReadFile(filepath.Join(guests, h.Guest+".wasm"))
		if err != nil {
			return fmt.Errorf("read a guest; -guests names the directory testdata/guests: %w", err)
		}
		manifest := map[string]any{"name": h.Name, "version": "1.0.0"}
		if h.KV {
			manifest["capabilities"] = []any{map[string]any{"name": "kv", "reason": "counts"}}
		}
		text, err := json.Marshal(manifest)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, h.Name+".wasm")
		if err := os.WriteFile(path+".json", text, 0o600); err != nil {
			return err
		}
		if err := os.WriteFile(path, module, 0o600); err != nil {
			return err
		}
	}
	return nil
}
