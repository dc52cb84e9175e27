package toolchain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-host/berth/abi/rust"
)

// The tools of Rust. A machine has its standard library for WebAssembly ready to link, or
// Debian's packages, which have its source: then cargo compiles it with the first handler.
const (
	cargoTool       = "cargo"
	rustcTool       = "rustc"
	rustLinkerTool  = "lld 22"
	rustLibraryTool = "Rust's library for WebAssembly"

	rustApt    = "apt-get install rustc-web cargo-web rust-web-src lld-22 (or Rust by rustup, https://rustup.rs)"
	rustSource = "/usr/lib/rustlib/src/rust/library"
)

// rustTargets are the targets that handlers are built for, by preference.
func rustTargets() []string { return []string{"wasm32-unknown-unknown", "wasm32-wasip1"} }

// rustStack is the size of a handler's stack in bytes. The compiler's default of 1 MiB makes
// each instance that much larger.
const rustStack = 64 << 10

func rustLanguage() Language {
	l := Language{
		Name: "rust", Title: "Rust", Main: "src/lib.rs",
		Detect: func(dir fs.FS) bool { return anyFile(dir, "Cargo.toml") },
		SDK:    func() (map[string][]byte, error) { return filesOf(rust.Files) },
	}
	library, target := rustLibrary()
	_, err := os.Stat(filepath.Join(rustSource, "Cargo.lock"))
	if library == "" && err == nil {
		l.Tools = []Tool{
			{Name: cargoTool, Commands: []string{"/usr/bin/cargo"}, Version: []string{"--version"}, Install: rustApt},
			{Name: rustcTool, Commands: []string{"/usr/bin/rustc"}, Version: []string{"--version"}, Install: rustApt},
			{Name: rustLinkerTool, Commands: []string{"wasm-ld-22"}, Version: []string{"--version"}, Install: rustApt},
			{Name: rustLibraryTool, Files: []string{rustSource}, Install: rustApt},
		}
		l.Build = buildRustLibrary
		return l
	}
	install := "rustup target add " + rustTargets()[0]
	if library == "" {
		library = filepath.Join(rustupToolchains(), "*", "lib", "rustlib", rustTargets()[0]) // there is none
	}
	l.Tools = []Tool{
		{Name: cargoTool, Commands: []string{"cargo"}, Version: []string{"--version"}, Install: rustApt},
		{Name: rustcTool, Commands: []string{"rustc"}, Version: []string{"--version"}, Install: rustApt},
		{Name: rustLibraryTool, Files: []string{library}, Install: install},
	}
	l.Build = func(ctx context.Context, b *Build) error { return buildRust(ctx, b, target) }
	return l
}

// rustupToolchains returns the directory of the toolchains that rustup has installed.
func rustupToolchains() string {
	home := os.Getenv("RUSTUP_HOME")
	if home == "" {
		user, err := os.UserHomeDir()
		if err != nil {
			user = string(filepath.Separator)
		}
		home = filepath.Join(user, ".rustup")
	}
	return filepath.Join(home, "toolchains")
}

// rustLibrary returns where a compiled standard library for WebAssembly is, "" if there is
// none, and its target.
func rustLibrary() (path, target string) {
	for _, target := range rustTargets() {
		for _, pattern := range []string{
			filepath.Join(rustupToolchains(), "*", "lib", "rustlib", target),
			filepath.Join("/usr/lib/rustlib", target),
			filepath.Join("/usr/local/lib/rustlib", target),
			filepath.Join("/opt/homebrew/lib/rustlib", target),
		} {
			if found, _ := filepath.Glob(pattern); len(found) > 0 {
				return found[0], target
			}
		}
	}
	return "", ""
}

// buildRust builds with a compiler that has a compiled standard library for the target.
func buildRust(ctx context.Context, b *Build, target string) error {
	flags, err := json.Marshal([]string{fmt.Sprintf("-Clink-arg=-zstack-size=%d", rustStack), "--remap-path-prefix=" + b.Dir + "=."})
	if err != nil {
		return err
	}
	quiet := *b
	found := artifacts{log: b.Log}
	quiet.Log = &found
	err = quiet.Run(ctx, cargoTool, "build", "--release", "--target", target,
		"--message-format", "json-render-diagnostics", "--config", "target."+target+".rustflags="+string(flags))
	if err = errors.Join(err, found.flush()); err != nil {
		return err
	}
	if found.module == "" {
		return errors.New(`the crate has no library of the type cdylib: Cargo.toml needs [lib] with crate-type = ["cdylib"]`)
	}
	return copyModule(found.module, b.Output)
}

// buildRustLibrary builds with Debian's compiler, which has the standard library as source.
// It compiles that with the first handler and keeps it for the others: all have one directory
// of intermediate files, which cargo locks.
func buildRustLibrary(ctx context.Context, b *Build) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	cache = filepath.Join(cache, "berth", "rust")
	target := rustTargets()[0]
	if _, err := os.Stat(filepath.Join(cache, target)); err != nil {
		fmt.Fprintln(b.Log, "The first build also compiles Rust's standard library, which takes minutes.")
	}
	b.Env = append(b.Env, "RUSTC="+b.Tool(rustcTool), "RUSTC_BOOTSTRAP=1",
		"CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="+b.Tool(rustLinkerTool))
	flags := fmt.Sprintf(`target.%s.rustflags=["-Clink-arg=-zstack-size=%d"]`, target, rustStack)
	made := filepath.Join(filepath.Dir(b.Output), "rust")
	args := []string{"build", "--release", "--target", target, "--lib", "--target-dir", cache, "--config", flags,
		"-Zbuild-std=std,panic_abort", "-Ztrim-paths", "--config", `profile.release.trim-paths="all"`,
		"-Zunstable-options", "--artifact-dir", made}
	packages, err := rustPackages(ctx, b)
	if err != nil {
		return err
	}
	if !packages { // the library's own are in Debian's package
		args = append(args, "--offline", "--config", `source.crates-io.replace-with="library"`,
			"--config", `source.library.directory="`+rustSource+`/vendor"`)
	}
	if err := b.Run(ctx, cargoTool, args...); err != nil {
		return err
	}
	modules, err := filepath.Glob(filepath.Join(made, "*.wasm"))
	if err != nil || len(modules) != 1 {
		return errors.Join(err, fmt.Errorf("cargo made %d modules, not one: %s", len(modules), strings.Join(modules, ", ")))
	}
	return copyModule(modules[0], b.Output)
}

// rustPackages reports whether a project uses packages of a registry.
func rustPackages(ctx context.Context, b *Build) (bool, error) {
	lock := filepath.Join(b.Dir, "Cargo.lock")
	text, err := os.ReadFile(lock)
	if errors.Is(err, fs.ErrNotExist) {
		if err := b.Run(ctx, cargoTool, "generate-lockfile"); err != nil {
			return false, err
		}
		text, err = os.ReadFile(lock)
	}
	return bytes.Contains(text, []byte("registry+")), err
}

func copyModule(from, to string) error {
	wasm, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, wasm, 0o644)
}

// artifacts finds the module in the messages of cargo, which are lines of JSON, and copies
// all other lines to the log.
type artifacts struct {
	log    io.Writer
	line   []byte // the last line, while it is incomplete
	module string // path of the module that was made last
}

// Write reads whole lines and keeps the remaining bytes.
func (a *artifacts) Write(p []byte) (int, error) {
	a.line = append(a.line, p...)
	for {
		end := bytes.IndexByte(a.line, '\n')
		if end < 0 {
			return len(p), nil
		}
		if err := a.read(a.line[:end+1]); err != nil {
			return 0, err
		}
		a.line = a.line[end+1:]
	}
}

// flush reads the last line if it does not end.
func (a *artifacts) flush() error {
	if len(a.line) == 0 {
		return nil
	}
	return a.read(a.line)
}

func (a *artifacts) read(line []byte) error {
	var message struct {
		Reason    string
		Filenames []string
	}
	if !bytes.HasPrefix(line, []byte(`{"reason":`)) || json.Unmarshal(line, &message) != nil {
		_, err := a.log.Write(line)
		return err
	}
	for _, name := range message.Filenames {
		if message.Reason == "compiler-artifact" && filepath.Ext(name) == ".wasm" {
			a.module = name
		}
	}
	return nil
}
