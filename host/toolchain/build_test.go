package toolchain

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-host/berth/abi"
)

// script puts an executable shell script into a directory that is the whole PATH, beside
// links to the programs of the system that it names.
func script(t *testing.T, name, text string, programs ...string) {
	t.Helper()
	dir := t.TempDir()
	for _, program := range append(programs, "sh") {
		for _, at := range []string{"/bin/", "/usr/bin/"} {
			if _, err := os.Stat(at + program); err == nil {
				if err := os.Symlink(at+program, filepath.Join(dir, program)); err != nil {
					t.Fatal(err)
				}
				break
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
}

// fake is a language whose tool is a shell script with the module's path as its argument.
func fake() Language {
	const tool = "fakec 1"
	return Language{
		Name: "fake", Title: "Fake",
		Tools: []Tool{{Name: tool, Commands: []string{"fakec-1", "fakec"}, Version: []string{"--version"}, Install: "apt-get install fakec-1"}},
		Build: func(ctx context.Context, b *Build) error {
			b.Env = append(b.Env, "FAKE=yes")
			return b.Run(ctx, tool, b.Output)
		},
	}
}

// project is a project of the fake language with a manifest, "" for none.
func project(t *testing.T, manifest string) Project {
	t.Helper()
	p := Project{Dir: t.TempDir(), Name: "stock", Language: fake()}
	if manifest != "" {
		if err := os.WriteFile(filepath.Join(p.Dir, ManifestFile), []byte(manifest), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.readManifest(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBuild(t *testing.T) {
	const custom = `\000\021\016berth.manifest{}` // 1 + 14 + 2 bytes are 17
	for _, tt := range []struct {
		name, script, manifest string
		manifestWant           string // inside the module
		log, err               string
	}{
		{name: "manifest embedded", script: `echo "in $(pwd) $FAKE"; echo warning >&2; printf '\000asm\001\000\000\000' > "$1"`, manifest: "{ \"version\": \"1.0.0\" }",
			manifestWant: `{"version":"1.0.0"}`, log: "yes\nwarning\n"},
		{name: "no manifest", script: `printf '\000asm\001\000\000\000' > "$1"`},
		{name: "manifest inside", script: `printf '\000asm\001\000\000\000` + custom + `' > "$1"`, manifestWant: "{}"},
		{name: "manifest inside replaced", script: `printf '\000asm\001\000\000\000` + custom + `' > "$1"`, manifest: `{"name":"stock"}`, manifestWant: `{"name":"stock"}`},
		{name: "damaged manifest inside", script: `printf '\000asm\001\000\000\000` + strings.Replace(custom, "{}", "[]", 1) + `' > "$1"`, err: "section berth.manifest"},
		{name: "tool fails", script: "echo 'main.fk:3: no such thing' >&2; exit 3", log: "main.fk:3: no such thing\n", err: "fakec 1 failed (exit status 3)"},
		{name: "no module", script: "exit 0", err: "the Fake tools have written no module"},
		{name: "component", script: `printf '\000asm\015\000\001\000' > "$1"`, manifest: "{}", err: "a WebAssembly component"},
		{name: "component without a manifest", script: `printf '\000asm\015\000\001\000' > "$1"`, err: "a WebAssembly component"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			script(t, "fakec", tt.script)
			p := project(t, tt.manifest)
			if err := os.WriteFile(p.Output(), []byte("former"), 0o644); err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			m, err := p.Build(t.Context(), p.Output(), &log)
			if !strings.HasSuffix(log.String(), tt.log) {
				t.Errorf("log %q, want %q", log.String(), tt.log)
			}
			wasm, readErr := os.ReadFile(p.Output())
			if readErr != nil {
				t.Fatal(readErr)
			}
			if entries, err := os.ReadDir(p.Dir); err != nil || len(entries) > 2 {
				t.Errorf("%v are left, %v", entries, err)
			}
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || string(wasm) != "former" {
					t.Errorf("got %v, want %s; the file is %q", err, tt.err, wasm)
				}
				return
			}
			manifest, _, findErr := abi.FindSection(wasm, abi.ManifestSection)
			if err != nil || findErr != nil || string(manifest) != tt.manifestWant {
				t.Fatalf("got %q, %v, %v; want %q", manifest, err, findErr, tt.manifestWant)
			}
			if m.Path != p.Output() || m.Bytes != len(wasm) || len(m.SHA256) != 64 || m.Name != "stock" {
				t.Errorf("got %+v", m)
			}
		})
	}
}

// A build that is interrupted ends with all of its processes.
func TestInterruptedBuild(t *testing.T) {
	script(t, "fakec", "tail -f /dev/null & echo ready; wait", "tail")
	p := project(t, "")
	// The pipe ends when the last process that has it has ended.
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := p.Build(ctx, p.Output(), write)
		_ = write.Close()
		done <- err
	}()
	line := make([]byte, 6)
	if _, err := io.ReadFull(read, line); err != nil || string(line) != "ready\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if text, err := io.ReadAll(read); err != nil || len(text) > 0 {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestMissingTools(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	l := Language{Tools: []Tool{
		{Name: "clang 19", Commands: []string{"clang-19"}, Install: "apt-get install clang-19 lld-19"},
		{Name: "lld 19", Commands: []string{"wasm-ld-19"}, Install: "apt-get install clang-19 lld-19"},
		{Name: "the C library", Files: []string{"/nowhere/a", "/nowhere/b"}, Install: "apt-get install wasi-libc"},
		{Name: "the root", Files: []string{"/nowhere/a", "/"}, Install: "apt-get install /"},
	}}
	_, err := l.Find()
	var missing *MissingError
	want := "clang 19 and lld 19 are missing; install it with: apt-get install clang-19 lld-19\n" +
		"the C library is missing; install it with: apt-get install wasi-libc"
	if !errors.As(err, &missing) || err.Error() != want || len(missing.Tools) != 3 {
		t.Errorf("got %v, want %s", err, want)
	}
	p := project(t, "")
	if _, err := p.Build(t.Context(), p.Output(), io.Discard); !errors.As(err, &missing) || err.Error() != "fakec 1 is missing; install it with: apt-get install fakec-1" {
		t.Errorf("got %v", err)
	}
}

func TestVersions(t *testing.T) {
	script(t, "fakec-1", `test "$1" = --version && printf '\033[0m\033[1mfakec 1.7\033[m\nof last year\n'`)
	got, err := fake().Versions(t.Context())
	if err != nil || len(got) != 1 || got[0] != (ToolVersion{Name: "fakec 1", Version: "fakec 1.7"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	script(t, "fakec-1", "echo broken >&2; exit 1")
	if _, err := fake().Versions(t.Context()); err == nil || !strings.Contains(err.Error(), "ask fakec 1 for its version: exit status 1: broken") {
		t.Errorf("got %v", err)
	}
}

func TestOpen(t *testing.T) {
	for _, tt := range []struct{ name, lang, manifest, want, err string }{
		{name: "named by its manifest", manifest: `{"name":"stock-alert"}`, want: "stock-alert"},
		{name: "byte order mark", manifest: "\ufeff{}", want: "shop"},
		{name: "unknown language", lang: "cobol", err: "not a language"},
		{name: "unknown key", manifest: `{"nme":"x"}`, err: "shop/manifest.json: manifest: nme"},
		{name: "too long", manifest: `{"description":"` + strings.Repeat("x", abi.MaxManifest) + `"}`, err: "over the limit"},
		{name: "empty", manifest: " ", err: "manifest.json: manifest:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "shop")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{"main.go": "package main", ManifestFile: tt.manifest} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			p, err := Open(dir, tt.lang)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil || p.Name != tt.want {
				t.Errorf("got %s, %v; want %s", p.Name, err, tt.want)
			}
		})
	}
	dir := filepath.Join(t.TempDir(), "No Name")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, "go"); err == nil || !strings.Contains(err.Error(), "has no name in its manifest.json") {
		t.Errorf("got %v", err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, ManifestFile), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, "go"); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a pipe: got %v", err)
	}
	if _, err := Open(filepath.Join(dir, "nowhere"), "go"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// A new project in Go builds at once and offline, with its manifest inside.
func TestNewGoProjectBuilds(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOFLAGS", "-mod=readonly")
	t.Setenv("GOWORK", "off")
	dir := filepath.Join(t.TempDir(), "stock-alert")
	if err := Create(goLanguage(), "stock-alert", dir); err != nil {
		t.Fatal(err)
	}
	p, err := Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	m, err := p.Build(t.Context(), p.Output(), &log)
	if err != nil {
		t.Fatalf("%v: %s", err, log.String())
	}
	wasm, err := os.ReadFile(m.Path)
	if err != nil {
		t.Fatal(err)
	}
	manifest, inside, err := abi.FindSection(wasm, abi.ManifestSection)
	if err != nil || !inside || !strings.Contains(string(manifest), `"name":"stock-alert"`) {
		t.Errorf("got %s, %v, %v", manifest, inside, err)
	}
	if _, names, err := abi.FindSection(wasm, "name"); err != nil || !names {
		t.Errorf("the names of functions are there: %v, %v", names, err)
	}
	// An error of the compiler is in the log.
	main := filepath.Join(dir, "main.go")
	text, err := os.ReadFile(main)
	if err == nil {
		err = os.WriteFile(main, append(text, "var unknown = nowhere\n"...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	log.Reset()
	var failed *ToolError
	if _, err := p.Build(t.Context(), p.Output(), &log); !errors.As(err, &failed) || !strings.Contains(log.String(), "undefined: nowhere") {
		t.Errorf("got %v: %s", err, log.String())
	}
	if after, err := os.ReadFile(m.Path); err != nil || string(after) != string(wasm) {
		t.Errorf("the module has changed, %v", err)
	}
}
