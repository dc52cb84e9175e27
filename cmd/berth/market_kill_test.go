package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fsnotify/fsnotify"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/host/wire"
)

// TestInstallKillNine kills the real binary after each change that an installation,
// an upgrade, a rollback, an uninstallation and a purge make to the files, and starts
// it again: then that was done or it was not, and nothing else is left.
func TestInstallKillNine(t *testing.T) {
	m := openStall(t)
	const asks = `,"capabilities":[{"name":"kv","reason":"keeps the count"}]}`
	m.release("kv_counter", `{"name":"kv-counter","version":"1.0.0"`+asks)
	m.release("kv_counter", `{"name":"kv-counter","version":"2.0.0"`+asks)
	dir, config, plugins := workplace(t)
	yaml := "# Ours.\nplugin_directories: [" + plugins + "]\nroutes:\n  \"*\": {} # all\n" + m.yaml() + "handlers:\n  other: {enabled: false} # later\n"
	write(t, config, []byte(yaml))
	k := &killed{t: t, dir: dir, config: config, yaml: yaml, data: filepath.Join(dir, "data"), s: serve(t, dir, config)}

	// The states: a version and those before it; "kept" is what an uninstallation leaves.
	ways := map[string][]func(context.Context) error{
		"":            {},
		"1.0.0":       {k.install("1.0.0")},
		"2.0.0":       {k.install("2.0.0")},
		"2.0.0 1.0.0": {k.install("1.0.0"), k.post("upgrade")},
		"kept":        {k.install("1.0.0"), k.remove("")},
	}
	to := func(state string) { // what a round begins with
		t.Helper()
		now := k.state()
		if now == state {
			return
		}
		if now != "" {
			k.must(k.remove("?purge=true")(t.Context()))
		}
		for _, do := range ways[state] {
			k.must(do(t.Context()))
		}
	}
	to("1.0.0") // makes the directories that are watched
	for _, tt := range []struct {
		name, from, to string
		do             func(context.Context) error
	}{
		{"install", "", "1.0.0", k.install("1.0.0")},
		{"upgrade", "1.0.0", "2.0.0 1.0.0", k.post("upgrade")},
		{"rollback", "2.0.0 1.0.0", "1.0.0 2.0.0", k.post("rollback")},
		{"uninstall", "2.0.0", "", k.remove("?purge=true")},
		{"purge", "kept", "", k.remove("?purge=true")},
	} {
		became := map[string]int{}
		for n := 1; ; n += shorter(1, 4) {
			to(tt.from)
			finished := k.after(n, tt.do)
			got := k.state()
			if got != tt.from && got != tt.to {
				t.Fatalf("%s, killed after %d changes: it is %q", tt.name, n, got)
			}
			k.whole()
			became[got]++
			if finished {
				break
			}
			if n > 200 {
				t.Fatalf("%s has no end", tt.name)
			}
		}
		t.Logf("%s: killed after each of its changes: %d times it was undone, %d times done", tt.name, became[tt.from], became[tt.to])
		// A purge writes one file: on a slow machine the kill may always come after it.
		if became[tt.to] == 0 || became[tt.from] == 0 && tt.name != "purge" {
			t.Errorf("%s: %v", tt.name, became)
		}
	}
	k.s.terminate(t)
}

// install installs a version, and approves its plan.
func (k *killed) install(version string) func(context.Context) error {
	return func(ctx context.Context) error {
		in := wire.Install{Name: "acme/kv-counter", Version: version}
		_, err := k.s.Call(ctx, "POST", "/api/v1/plugins/install", in, new(wire.Plugin))
		var p client.Problem
		if errors.As(err, &p) && p.Plan != nil {
			in.Approve = p.Plan.Digest
			_, err = k.s.Call(ctx, "POST", "/api/v1/plugins/install", in, new(wire.Plugin))
		}
		return err
	}
}

// post upgrades the plugin or rolls it back.
func (k *killed) post(action string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := k.s.Call(ctx, "POST", "/api/v1/plugins/kv-counter/"+action, nil, new(wire.Plugin))
		return err
	}
}

func (k *killed) remove(query string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := k.s.Call(ctx, "DELETE", "/api/v1/plugins/uninstall/kv-counter"+query, nil, nil)
		return err
	}
}

// killed is a host that is killed again and again.
type killed struct {
	t                       *testing.T
	dir, config, yaml, data string
	s                       *server
}

func (k *killed) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// after kills the host once do has changed its files n times, and starts it again.
// It reports whether do had come to its end by itself.
func (k *killed) after(n int, do func(context.Context) error) (finished bool) {
	k.t.Helper()
	w, err := fsnotify.NewWatcher()
	k.must(err)
	defer w.Close()
	for _, dir := range []string{k.dir, k.data, filepath.Join(k.data, "downloads"), filepath.Join(k.data, ".store", "sha256")} {
		k.must(w.Add(dir))
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(k.t.Context(), testTimeout)
	defer cancel()
	go func() { done <- do(ctx) }()
	for n > 0 && !finished {
		select {
		case e := <-w.Events:
			if name := filepath.Base(e.Name); !strings.HasPrefix(name, "berth.db") && name != "audit.log" {
				n--
			}
		case err := <-done:
			k.must(err)
			finished = true
		case err := <-w.Errors:
			k.t.Fatal(err)
		}
	}
	k.s.kill()
	if !finished {
		<-done // with an error, or it was done in that moment
	}
	k.s = serve(k.t, k.dir, k.config)
	return finished
}

// version is what the lock says is installed, "" for nothing.
func (k *killed) version() string {
	k.t.Helper()
	version, _, _ := strings.Cut(k.state(), " ")
	return strings.TrimSuffix(version, "kept")
}

// state is what the lock says is installed, the latest first; "kept" when there is
// only what a plugin has stored, "" for nothing.
func (k *killed) state() string {
	k.t.Helper()
	var list wire.List[wire.Stored]
	var versions []string
	_, err := k.s.Call(k.t.Context(), "GET", "/api/v1/plugins/verify", nil, &list)
	k.must(err)
	for _, s := range list.Items {
		if !s.OK {
			k.t.Errorf("a stored module is damaged: %+v", s)
		}
		versions = append(versions, s.Version)
	}
	lock, err := os.ReadFile(filepath.Join(k.data, "plugins.lock.yaml"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		k.t.Fatal(err)
	}
	if strings.Contains(string(lock), "kept:") {
		versions = append(versions, "kept")
	}
	return strings.Join(versions, " ")
}

// whole holds that everything says the same as the lock.
func (k *killed) whole() {
	k.t.Helper()
	version := k.version()
	text, err := os.ReadFile(k.config)
	k.must(err)
	want := k.yaml
	if version != "" {
		want += "  kv-counter:\n    grants: [\"kv\"]\n"
	}
	if string(text) != want {
		k.t.Errorf("with %q installed the configuration is\n%s", version, text)
	}
	if version == "" {
		_, err := k.s.plugin(k.t, "kv-counter")
		var gone client.Problem
		if !errors.As(err, &gone) || gone.Status != http.StatusNotFound {
			k.t.Errorf("it is not installed, and there all the same: %v", err)
		}
	} else {
		k.s.active(k.t, "kv-counter")
		p, err := k.s.plugin(k.t, "kv-counter")
		if err != nil || p.Version != version || len(p.Capabilities) != 1 || !p.Capabilities[0].Granted {
			k.t.Errorf("with %s installed it is %+v, %v", version, p, err)
		}
		var r wire.Receipt
		_, err = k.s.Call(k.t.Context(), "POST", "/api/v1/events", map[string]any{"event_type": "t", "data": map[string]string{"status": "x"}}, &r)
		k.must(err)
		k.s.delivered(k.t, r.EventID, "kv-counter")
	}
	var refers, stored []string
	var list wire.List[wire.Stored]
	_, err = k.s.Call(k.t.Context(), "GET", "/api/v1/plugins/verify", nil, &list)
	k.must(err)
	for _, s := range list.Items {
		refers = append(refers, s.SHA256+".wasm")
	}
	for _, dir := range []string{filepath.Join(k.data, ".store", "sha256"), k.data, k.dir} {
		entries, err := os.ReadDir(dir)
		k.must(err)
		for _, e := range entries {
			name := e.Name()
			switch {
			case dir != k.data && dir != k.dir:
				stored = append(stored, name)
			case strings.HasPrefix(name, ".berth.yaml."): // it may hold a person's edit
			case name == "install.journal" || strings.HasPrefix(name, ".") && name != ".store":
				k.t.Errorf("%s is left", name)
			}
		}
	}
	slices.Sort(refers)
	slices.Sort(stored)
	if a, b := fmt.Sprint(refers), fmt.Sprint(stored); a != b {
		k.t.Errorf("the store has %s, and the lock %s", b, a)
	}
}
