package vet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
	"github.com/berth-host/berth/host/spec"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == vet.Command {
		misbehave()
	}
	goleak.VerifyTestMain(m)
}

// misbehave makes this process the child, a broken one if the module has a
// custom section that says how.
func misbehave() {
	in, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	after := func() {}
	for way, do := range map[string]func(){
		"die at once":   func() { os.Exit(2) },
		"crash":         func() { ready(); fmt.Fprintln(os.Stderr, "fatal error: something\nmore"); os.Exit(2) },
		"no thread":     func() { ready(); fmt.Fprintln(os.Stderr, "runtime: failed to create new OS thread"); os.Exit(2) },
		"out of memory": func() { ready(); fmt.Fprintln(os.Stderr, "fatal error: runtime: out of memory"); os.Exit(2) },
		"be killed":     func() { ready(); _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} },
		"hang":          func() { ready(); _ = syscall.Kill(os.Getpid(), syscall.SIGSTOP); select {} },
		"hang once": func() {
			if _, err := os.Stat(filepath.Join("..", hung)); err != nil {
				_ = os.WriteFile(filepath.Join("..", hung), nil, 0o600)
				_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
				select {}
			}
		},
		"no verdict":       func() { ready(); fmt.Fprintln(os.Stderr, "no space left on device"); os.Exit(vet.ExitNoVerdict) },
		"no report":        func() { ready(); os.Exit(0) },
		"another's report": func() { ready(); fmt.Println(`{"sha256":"00","size":1}`); os.Exit(0) },
		"flood":            func() { ready(); _, _ = io.CopyN(os.Stdout, zeros{}, 64<<20); os.Exit(0) },
		"no module":        func() { after = func() { _ = os.Remove("metered.wasm") } },
	} {
		if bytes.Contains(in, []byte("misbehave: "+way+".")) {
			do()
		}
	}
	if err := vet.RunChild(context.Background(), bytes.NewReader(in), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(vet.ExitNoVerdict)
	}
	after()
	os.Exit(0)
}

// hung is a file that a child which hangs once leaves in the cache directory.
const hung = ".hung"

func ready() { fmt.Println("ready") }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func newVetter(t testing.TB, cfg vet.Config) *vet.Vetter {
	t.Helper()
	if cfg.CacheDir == "" {
		cfg.CacheDir = t.TempDir()
	}
	v, err := vet.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func guest(t testing.TB, name string) []byte {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "guests", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// refusal is the verdict about a module that must be refused. It asks again when
// the machine was too busy for a verdict.
func refusal(t testing.TB, v *vet.Vetter, wasm []byte) *vet.Refusal {
	t.Helper()
	for {
		verdict, err := v.Vet(t.Context(), spec.NewArtifact(wasm))
		if fault.Is(err, fault.Unavailable) {
			t.Log(err)
			continue
		}
		var r *vet.Refusal
		if !fault.Is(err, fault.Invalid) || !errors.As(err, &r) {
			t.Fatalf("got %v, want a refusal", err)
		}
		if verdict.Report.Error == nil || *verdict.Report.Error != *r || verdict.CodeDir != "" || verdict.Metered != nil {
			t.Errorf("the verdict %+v does not say the same as %v", verdict, r)
		}
		return r
	}
}

func TestGuestPasses(t *testing.T) {
	dir := t.TempDir()
	v := newVetter(t, vet.Config{CacheDir: dir})
	wasm := guest(t, "echo")
	original := bytes.Clone(wasm)
	verdict, err := v.Vet(t.Context(), spec.NewArtifact(wasm))
	if err != nil {
		t.Fatal(err)
	}
	r := verdict.Report
	if r.Size != len(wasm) || len(r.SHA256) != 64 || r.Style != "loop" || r.Entry != "run" || r.Functions == 0 || r.Memory.Min == 0 || r.Fuel == nil || r.Error != nil {
		t.Errorf("%+v", r)
	}
	if len(r.Imports) == 0 || r.Imports[0].Module != "berth_v1" || len(r.Exports) != 2 || len(r.Largest) == 0 || r.Largest[0].Value != uint64(len(wasm)) {
		t.Errorf("%+v", r)
	}
	if !bytes.Equal(wasm, original) {
		t.Error("the module was changed")
	}
	compiles(t, verdict)
	if info, err := os.Stat(verdict.CodeDir); err != nil || info.Mode().Perm() != 0o700 || filepath.Dir(verdict.CodeDir) != dir {
		t.Errorf("the code is in %v, %v", info, err)
	}
	// Another host over the same directory needs no child.
	log := new(bytes.Buffer)
	second := newVetter(t, vet.Config{CacheDir: dir, Logger: debugTo(log)})
	again, err := second.Vet(t.Context(), spec.NewArtifact(wasm))
	if err != nil || again.CodeDir != verdict.CodeDir || strings.Contains(log.String(), "module vetted") {
		t.Errorf("a second host: %v, %v, %s", again.CodeDir, err, log)
	}
}

// compiles loads a module that has passed, and requires that its code is in the cache.
func compiles(t *testing.T, verdict vet.Verdict) {
	t.Helper()
	before := files(t, verdict.CodeDir)
	code, err := vet.Compile(t.Context(), verdict.Metered, verdict.CodeDir, verdict.Report.Traceable)
	if err != nil {
		t.Fatal(err)
	}
	if err := code.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if after := files(t, verdict.CodeDir); len(before) != 3 || strings.Join(after, "\n") != strings.Join(before, "\n") {
		t.Errorf("the host compiled by itself: %v became %v", before, after)
	}
}

func files(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			info, err := d.Info()
			if err != nil {
				return err
			}
			if info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			stamp := info.ModTime().String()
			found = append(found, path+" "+stamp)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestBrokenChildren: a fault of the module is a refusal, any other is no verdict, and a
// child that lies or hangs does no harm.
func TestBrokenChildren(t *testing.T) {
	tests := []struct {
		way  string
		code string     // of the refusal, or
		want fault.Code // of what is no verdict
		text string
	}{
		{"die at once", "", fault.Unavailable, "could not start"},
		{"crash", vet.CodeCrash, "", "the compiler crashed on it (exit status 2): fatal error: something"},
		{"no thread", "", fault.Unavailable, "could not start a thread"},
		{"out of memory", vet.CodeMemory, "", "takes more memory than the limit of 1 GiB"},
		{"be killed", "", fault.Unavailable, "was killed by another process"},
		{"no verdict", "", fault.Unavailable, "no space left on device"},
		{"no report", "", fault.Internal, "the child's report"},
		{"another's report", "", fault.Internal, "reports on another module"},
		{"flood", "", fault.Internal, "the child's report"},
		{"no module", "", fault.Unavailable, "metered.wasm"},
	}
	for _, tt := range tests {
		t.Run(tt.way, func(t *testing.T) {
			cfg := vet.Config{CacheDir: t.TempDir()}
			v := newVetter(t, cfg)
			wasm := append(guest(t, "echo"), wasmtest.Custom("how", "misbehave: "+tt.way+".")...)
			_, err := v.Vet(t.Context(), spec.NewArtifact(wasm))
			var r *vet.Refusal
			switch {
			case err == nil || !strings.Contains(err.Error(), tt.text):
				t.Errorf("got %v, want %q", err, tt.text)
			case errors.As(err, &r) != (tt.code != "") || r != nil && r.Code != tt.code:
				t.Errorf("refusal %+v, want %q", r, tt.code)
			case r == nil && !fault.Is(err, tt.want):
				t.Errorf("code %q, want %q", fault.CodeOf(err), tt.want)
			}
			if left, err := filepath.Glob(filepath.Join(cfg.CacheDir, ".*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// TestChildWithoutProcessorIsNoFailure: another child starts, and the log names what the
// module waits for.
func TestChildWithoutProcessorIsNoFailure(t *testing.T) {
	log := new(bytes.Buffer)
	v := newVetter(t, vet.Config{Wall: time.Second, Logger: debugTo(log)})
	verdict, err := v.Vet(t.Context(), spec.NewArtifact(append(guest(t, "echo"), wasmtest.Custom("how", "misbehave: hang once.")...)))
	if err != nil || verdict.Report.Style != "loop" {
		t.Errorf("%+v, %v", verdict.Report, err)
	}
	if text := log.String(); !strings.Contains(text, `level=INFO msg="waiting for processor`) || strings.Contains(text, "level=WARN") {
		t.Error(text)
	}
}

// TestNewModuleDoesNotWaitForSlowOne: the child that takes long is stopped for its
// sake, and has its verdict later.
func TestNewModuleDoesNotWaitForSlowOne(t *testing.T) {
	dir := t.TempDir()
	v := newVetter(t, vet.Config{CacheDir: dir, Wall: time.Hour, CPU: time.Minute, Children: 1})
	slow := append(guest(t, "echo"), wasmtest.Custom("how", "misbehave: hang once.")...)
	verdict := make(chan error, 1)
	go func() {
		_, err := v.Vet(t.Context(), spec.NewArtifact(slow))
		verdict <- err
	}()
	for deadline := time.After(time.Minute); ; {
		if _, err := os.Stat(filepath.Join(dir, hung)); err == nil {
			break
		}
		select {
		case <-deadline:
			t.Fatal("the slow child does not begin")
		case <-time.After(time.Millisecond):
		}
	}
	if _, err := v.Vet(t.Context(), spec.NewArtifact(guest(t, "count"))); err != nil {
		t.Errorf("the new module: %v", err)
	}
	if err := <-verdict; err != nil {
		t.Errorf("the slow module: %v", err)
	}
}

// TestNobodyWaitsLonger: a caller that gives up does not wait for the child, and
// the next one gets a verdict.
func TestNobodyWaitsLonger(t *testing.T) {
	v := newVetter(t, vet.Config{Wall: time.Minute, Children: 1})
	hanging := append(guest(t, "echo"), wasmtest.Custom("how", "misbehave: hang.")...)
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error)
	for range 3 { // one waits for the child, two for the one
		go func() {
			_, err := v.Vet(ctx, spec.NewArtifact(hanging))
			errs <- err
		}()
	}
	cancel()
	for range 3 {
		if err := <-errs; !fault.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := v.Vet(t.Context(), spec.NewArtifact(guest(t, "echo"))); err != nil {
		t.Error(err)
	}
}

// TestSameModuleAtOnce: one child serves all callers.
func TestSameModuleAtOnce(t *testing.T) {
	log := new(bytes.Buffer) // a handler locks its writer; read when all are done
	v := newVetter(t, vet.Config{Logger: debugTo(log)})
	wasm := guest(t, "stdio")
	verdicts := make(chan vet.Verdict, 8)
	for range cap(verdicts) {
		go func() {
			verdict, err := v.Vet(t.Context(), spec.NewArtifact(wasm))
			if err != nil {
				t.Error(err)
			}
			verdicts <- verdict
		}()
	}
	for range cap(verdicts) {
		if verdict := <-verdicts; verdict.Report.Style != "stdio" {
			t.Errorf("%+v", verdict.Report)
		}
	}
	if n := strings.Count(log.String(), "module vetted"); n != 1 {
		t.Errorf("%d children", n)
	}
}

func debugTo(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func TestCannotStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, []byte("not a program"), 0o700); err != nil {
		t.Fatal(err)
	}
	v := newVetter(t, vet.Config{Program: file})
	if _, err := v.Vet(t.Context(), spec.NewArtifact(guest(t, "echo"))); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := vet.New(vet.Config{CacheDir: t.TempDir(), Program: file + "x"}); err == nil {
		t.Error("a program that is not there: no error")
	}
	if _, err := vet.New(vet.Config{}); err == nil {
		t.Error("no directory: no error")
	}
}

func TestRunManually(t *testing.T) {
	for _, in := range []string{"", "hello\n", "{}\n", `{"format":1,"size":-1}` + "\n", `{"format":1,"more":2}` + "\n", strings.Repeat("x", 1<<16)} {
		out := new(bytes.Buffer)
		if err := vet.RunChild(t.Context(), strings.NewReader(in), out); err == nil || out.Len() > 0 {
			t.Errorf("%.20q: %v, %q", in, err, out)
		}
	}
}
