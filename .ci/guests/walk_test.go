package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-host/berth/host/toolchain"
)

// Bounds that only a hang exceeds.
const (
	commandTimeout  = 15 * time.Minute // a first build in Rust compiles its standard library
	deliveryTimeout = 2 * time.Minute
)

// berth runs the binary of the variable BERTH, which make guests sets, against one data
// directory.
type berth struct {
	t      *testing.T
	binary string
	dir    string
	data   string
}

// TestNewHandlerIsDelivered goes through the developer's loop in each language: plugin new,
// plugin build, plugin test, plugin add, an event and its delivery. Then it replaces the
// handler by one that panics at a random line, and looks for the message, the function and
// the line in the delivery's error.
func TestNewHandlerIsDelivered(t *testing.T) {
	b := serve(t)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	only := strings.FieldsFunc(os.Getenv("LANGUAGES"), func(r rune) bool { return r == ',' })
	for _, l := range toolchain.Languages() {
		if len(only) > 0 && !slices.Contains(only, l.Name) {
			continue
		}
		blanks := 1 + random.IntN(40)
		t.Run(l.Name, func(t *testing.T) {
			b := b.in(t)
			name := "new-" + l.Name
			project := filepath.Join(b.dir, name)
			module := filepath.Join(project, name+".wasm")
			b.run("plugin", "new", "--lang", l.Name, name)
			b.run("plugin", "build", name)
			b.write(name+".jsonl", fmt.Sprintf(`{"event_type":"order_status_changed","data":%s}`+"\n", order("o-1")))
			b.run("plugin", "test", module, name+".jsonl", "--update")
			b.run("plugin", "test", module, name+".jsonl")
			b.run("plugin", "add", module)
			if d := b.deliver(name, "o-"+l.Name); d.Status != "ok" {
				t.Errorf("delivery %+v, want ok", d)
			}

			source, file, line := panicking(t, l.Name, blanks)
			b.write(filepath.Join(name, file), source)
			b.run("plugin", "build", name)
			b.run("plugin", "add", "--replace", module)
			d := b.deliver(name, "p-"+l.Name)
			b.run("plugin", "disable", name) // it would be retried
			message := ""
			if d.Error != nil {
				message = d.Error.Message
			}
			t.Logf("after %d blank lines, %s:\n%s", blanks, d.Status, message)
			at := fmt.Sprintf("%s:%d", filepath.Base(file), line)
			for _, want := range []string{"the stock is -3", "explode", at} {
				if !strings.Contains(strings.ToLower(message), strings.ToLower(want)) {
					t.Errorf("the error does not have %q", want)
				}
			}
			if headline, _, _ := strings.Cut(message, "\n"); !strings.Contains(headline, "the stock is -3") {
				t.Errorf("the headline is %q, want the message of the panic", headline)
			}
		})
	}
}

// order is the data of an event.
func order(id string) string {
	return fmt.Sprintf(`{"order_id":%q,"id":%q,"customer_id":"ada","currency":"EUR","items":[{"sku":"TEAPOT","quantity":1,"unit_price_cents":2490}],`+
		`"total_cents":2490,"status":"confirmed","previous_status":"pending","version":2}`, id, id)
}

// panicking returns a handler that panics, its file in the project, and the line of the panic.
func panicking(t *testing.T, lang string, blanks int) (source, file string, line int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "languages", "panics", lang+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	first, source, _ := strings.Cut(string(text), "\n")
	file, ok := strings.CutPrefix(first, "file: ")
	before, after, found := strings.Cut(source, "@BLANKS@")
	if !ok || !found {
		t.Fatalf("panics/%s.txt has no line with its file, or no @BLANKS@", lang)
	}
	source = before + strings.Repeat("\n", blanks) + after
	upTo, _, found := strings.Cut(source, "PANIC HERE")
	if !found {
		t.Fatalf("panics/%s.txt does not mark its panic", lang)
	}
	return source, strings.TrimSpace(file), 1 + strings.Count(upTo, "\n")
}

// delivery is what the test needs of a delivery in the API.
type delivery struct {
	Plugin string
	Status string
	Result json.RawMessage
	Error  *struct{ Class, Message string }
}

// deliver publishes an event for a handler and waits until one attempt has ended.
func (b berth) deliver(name, id string) delivery {
	b.t.Helper()
	b.run("events", "emit", "order_status_changed", "--subject", id, "--key", id, "--data", order(id))
	ctx, cancel := context.WithTimeout(b.t.Context(), deliveryTimeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var ev struct{ Deliveries []delivery }
		if err := json.Unmarshal(b.run("events", "show", id, "--json"), &ev); err != nil {
			b.t.Fatal(err)
		}
		for _, d := range ev.Deliveries {
			if d.Plugin == name && (d.Status == "ok" || d.Error != nil) {
				return d
			}
		}
		select {
		case <-ctx.Done():
			b.t.Fatalf("%s was not delivered to %s: %+v", id, name, ev.Deliveries)
		case <-tick.C:
		}
	}
}

func (b berth) in(t *testing.T) berth {
	b.t = t
	return b
}

// write creates a file below the working directory.
func (b berth) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// run runs a command, which must succeed, and returns its output.
func (b berth) run(args ...string) []byte {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.binary, args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "BERTH_DATA_DIR="+b.data)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		b.t.Fatalf("berth %s: %v\n%s%s", strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.Bytes()
}

// serve starts a host in a new directory. It stops at the end of the test.
func serve(t *testing.T) berth {
	t.Helper()
	binary, err := filepath.Abs(os.Getenv("BERTH"))
	if err != nil || os.Getenv("BERTH") == "" {
		t.Fatal("BERTH must name the binary: run make guests")
	}
	b := berth{t: t, binary: binary, dir: t.TempDir()}
	b.data = filepath.Join(b.dir, "data")
	b.write("berth.yaml", "plugin_directories: [plugins]\nroutes: {order_status_changed: {}}\n")
	cmd := exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--config", "berth.yaml", "--data-dir", b.data)
	cmd.Dir = b.dir
	log := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the host ended with %v", err)
			}
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			t.Error("the host did not stop")
		}
		if t.Failed() {
			t.Logf("log of the host:\n%s", log)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), deliveryTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(filepath.Join(b.data, "host.json")); err == nil {
			return b
		}
		select {
		case err := <-done:
			t.Fatalf("the host ended with %v:\n%s", err, log)
		case <-ctx.Done():
			t.Fatal(errors.New("the host did not start"), log)
		case <-tick.C:
		}
	}
}
