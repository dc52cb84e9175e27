package desk_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/abi/conformance"
	"github.com/berth-host/berth/abi/conformance/conformancetest"
	"github.com/berth-host/berth/host/desk"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
)

// buildGo builds a Go program as a module.
func buildGo(t *testing.T, dir string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-w", "-o", out, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", dir, err, text)
	}
	return read(t, out)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// load loads a module with a manifest, "" for the one inside.
func load(t *testing.T, wasm []byte, manifest string) *desk.Plugin {
	t.Helper()
	artifact := spec.NewArtifact(wasm)
	m, _, err := artifact.Manifest()
	if err == nil && manifest != "" {
		m, err = abi.ParseManifest([]byte(manifest))
	}
	if err != nil {
		t.Fatal(err)
	}
	if m.Name == "" {
		m.Name = "p"
	}
	p, err := desk.Load(t.Context(), desk.Config{Vetter: vet.InProcess{}, Module: artifact, Manifest: m})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// start starts a session.
func start(t *testing.T, p *desk.Plugin, setup desk.Setup) *desk.Session {
	t.Helper()
	s, err := p.Start(t.Context(), setup)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// run delivers the lines of an events file, each up to so many times.
func run(t *testing.T, s *desk.Session, attempts int, lines ...string) []desk.Delivery {
	t.Helper()
	events, err := desk.ParseEvents([]byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	var all []desk.Delivery
	for _, ev := range events {
		d, err := s.DeliverAll(t.Context(), ev, attempts)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// TestConformance runs the kit on the desk, with the conformance handler of the Go SDK and
// with those of all languages that are built into testdata; with -short with those in C and C++.
func TestConformance(t *testing.T) {
	modules := make(map[string][]byte)
	languages := "c*"
	if !testing.Short() {
		modules["go"], languages = buildGo(t, "../../abi/go/conformance"), "*"
	}
	paths, err := filepath.Glob("../../testdata/languages/" + languages + "/conformance.wasm")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		modules[filepath.Base(filepath.Dir(path))+" (built)"] = read(t, path)
	}
	for name, wasm := range modules {
		t.Run(name, func(t *testing.T) {
			conformancetest.Test(t, desk.ConformanceHost(load(t, wasm, string(conformance.Manifest))))
		})
	}
}

// Two sessions with the same events report the same times, random bytes and fuel, and no
// guest sleeps past its deadline. The guest is a Go program that reads the clocks, sleeps and
// asks for random bytes.
func TestSessionsAreRepeatable(t *testing.T) {
	p := load(t, buildGo(t, "testdata/observer"), `{"name":"p","limits":{"timeout":"2h"}}`)
	report := func(seed uint64) []desk.Delivery {
		return run(t, start(t, p, desk.Setup{Seed: seed, Start: desk.FirstTime()}), 1,
			`{"event_type":"a"}`, `{"event_type":"b","metadata":{"time":"2030-06-07T08:09:10Z"}}`)
	}
	first, second, third := report(1), report(1), report(2)
	for i := range first {
		a, b, c := first[i].Last(), second[i].Last(), third[i].Last()
		if a.Status != desk.StatusOK || string(a.Result) != string(b.Result) || a.Fuel != b.Fuel || a.Memory != b.Memory {
			t.Errorf("event %d: %s %s %s, fuel %d, memory %d; then %s, fuel %d, memory %d", i, a.Status, a.Message, a.Result, a.Fuel, a.Memory, b.Result, b.Fuel, b.Memory)
		}
		if string(a.Result) == string(c.Result) {
			t.Errorf("event %d: %s also with another seed", i, c.Result)
		}
	}
	for i, day := range []string{`"2026-01-02T03:04:05`, `"2030-06-07T08:09:10`} {
		if got := string(first[i].Last().Result); !strings.Contains(got, `"now":`+day) || !strings.Contains(got, `"slept":"1h0m0`) {
			t.Errorf("event %d: got %s, want the time %s and an hour of sleep", i, got, day)
		}
	}
	d := run(t, start(t, p, desk.Setup{Start: desk.FirstTime()}), 1, `{"event_type":"long"}`)[0].Last()
	if d.Status != desk.StatusFailed || d.Class != "timeout" || !strings.HasPrefix(d.Message, "it slept past its time limit of 2h0m0s") {
		t.Errorf("got %s %s %s", d.Status, d.Class, d.Message)
	}
}
