package toolchain

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeCargo is a script that answers as cargo does: it makes a module, and says where it is
// or puts it into the directory of --artifact-dir.
const fakeCargo = `
echo "$@" >> cargo.log
case "$1" in
generate-lockfile)
	echo "$LOCK" > Cargo.lock
	exit
esac
echo '   Compiling stock'
while [ $# -gt 0 ]; do
	case "$1" in
	--artifact-dir)
		mkdir -p "$2"
		printf '\000asm\001\000\000\000' > "$2/stock.wasm"
	esac
	shift
done
printf '\000asm\001\000\000\000' > made.wasm
echo '{"reason":"compiler-artifact","filenames":["/nowhere/libberth.rlib"]}'
echo '{"reason":"compiler-artifact","filenames":["'"$PWD"'/made.wasm"]}'
echo '{"reason":"build-finished","success":true}'
`

// rustBuild is a build of a project with that Cargo.lock, "" for none, by fakeCargo.
func rustBuild(t *testing.T, lock string) (*Build, *strings.Builder) {
	t.Helper()
	script(t, "cargo", fakeCargo, "mkdir", "cat")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	cargo := filepath.Join(os.Getenv("PATH"), "cargo")
	log := new(strings.Builder)
	b := &Build{Dir: t.TempDir(), Name: "stock", Output: filepath.Join(t.TempDir(), "stock.wasm"), Log: log,
		tools: map[string]string{cargoTool: cargo, rustcTool: "/usr/bin/rustc", rustLinkerTool: "/usr/bin/wasm-ld-22"}}
	if lock != "" {
		if err := os.WriteFile(filepath.Join(b.Dir, "Cargo.lock"), []byte(lock), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return b, log
}

// called returns the arguments of the calls of fakeCargo.
func called(t *testing.T, b *Build) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.Dir, "cargo.log"))
	if err != nil {
		t.Fatal(err)
	}
	if wasm, err := os.ReadFile(b.Output); err != nil || !strings.HasPrefix(string(wasm), "\x00asm") {
		t.Errorf("the module is %q, %v", wasm, err)
	}
	return string(text)
}

func TestRustWithLibrary(t *testing.T) {
	b, log := rustBuild(t, "")
	if err := buildRust(t.Context(), b, "wasm32-wasip1"); err != nil {
		t.Fatal(err)
	}
	if log.String() != "   Compiling stock\n" {
		t.Errorf("log %q", log)
	}
	want := `--config target.wasm32-wasip1.rustflags=["-Clink-arg=-zstack-size=65536","--remap-path-prefix=` + b.Dir + `=."]`
	if got := called(t, b); !strings.Contains(got, want) || !strings.HasPrefix(got, "build --release --target wasm32-wasip1 ") {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A project without packages of a registry is built offline with the library's own packages.
func TestRustLibraryFromSource(t *testing.T) {
	for _, tt := range []struct {
		name, lock, generated string
		offline               bool
	}{
		{"no lock file", "", "version = 4", true},
		{"own packages", "version = 4", "", true},
		{"registry", `source = "registry+https://example.com"`, "", false},
		{"registry, no lock file", "", `source = "registry+https://example.com"`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, log := rustBuild(t, tt.lock)
			b.Env = append(b.Env, "LOCK="+tt.generated)
			if err := buildRustLibrary(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(log.String(), "The first build also compiles Rust's standard library") {
				t.Errorf("log %q", log)
			}
			got := called(t, b)
			if strings.Contains(got, "--offline") != tt.offline || strings.Contains(got, "generate-lockfile") != (tt.lock == "") ||
				!strings.Contains(got, "-Zbuild-std=std,panic_abort") {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestRustCrateWithoutModule(t *testing.T) {
	b, _ := rustBuild(t, "")
	script(t, "cargo", "exit 0")
	b.tools[cargoTool] = filepath.Join(os.Getenv("PATH"), "cargo")
	if err := buildRust(t.Context(), b, "wasm32-unknown-unknown"); err == nil || !strings.Contains(err.Error(), "cdylib") {
		t.Errorf("got %v", err)
	}
	if err := buildRustLibrary(t.Context(), b); err == nil {
		t.Error("no error")
	}
}

// The library that rustup has installed is found, and its target is the one to build for.
func TestRustLibrary(t *testing.T) {
	home := t.TempDir()
	t.Setenv("RUSTUP_HOME", home)
	want := filepath.Join(home, "toolchains", "stable", "lib", "rustlib", "wasm32-wasip1")
	if err := os.MkdirAll(want, 0o755); err != nil {
		t.Fatal(err)
	}
	path, target := rustLibrary()
	if target == "wasm32-wasip1" && path != want {
		t.Errorf("got %s", path)
	}
	want = filepath.Join(filepath.Dir(want), "wasm32-unknown-unknown")
	if err := os.MkdirAll(want, 0o755); err != nil {
		t.Fatal(err)
	}
	if path, target := rustLibrary(); path != want || target != "wasm32-unknown-unknown" {
		t.Errorf("got %s, %s", path, target)
	}
	for _, tool := range rustLanguage().Tools {
		if tool.Name == rustLibraryTool && tool.find() != want {
			t.Errorf("got %q", tool.find())
		}
	}
}

func TestArtifacts(t *testing.T) {
	const messages = "warning: unused\n{\"reason\":\"compiler-artifact\",\"filenames\":[\"/x/a.rlib\",\"/x/a.wasm\"]}\n" +
		"{\"reason\":\"other\",\"filenames\":[\"/x/b.wasm\"]}\n{\"reason\":broken\n{\"a\":1}\nlast"
	for size := 1; size < len(messages); size += 7 {
		var log strings.Builder
		a := artifacts{log: &log}
		for text := messages; text != ""; text = text[min(size, len(text)):] {
			if _, err := io.WriteString(&a, text[:min(size, len(text))]); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.flush(); err != nil {
			t.Fatal(err)
		}
		if want := "warning: unused\n{\"reason\":broken\n{\"a\":1}\nlast"; log.String() != want || a.module != "/x/a.wasm" {
			t.Errorf("size %d: got %q, %s", size, log.String(), a.module)
		}
	}
}

// FuzzArtifacts has lines of any kind pass: only those that are messages of cargo do not.
func FuzzArtifacts(f *testing.F) {
	f.Add("x\n{\"reason\":\"compiler-artifact\",\"filenames\":[\"a.wasm\"]}\n")
	f.Fuzz(func(t *testing.T, text string) {
		var log strings.Builder
		a := artifacts{log: &log}
		if _, err := io.WriteString(&a, text); err != nil {
			t.Fatal(err)
		}
		if err := a.flush(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, `{"reason":`) && log.String() != text {
			t.Errorf("got %q, want %q", log.String(), text)
		}
	})
}

// The files of the SDKs are those that the templates use.
func TestVendoredSDKs(t *testing.T) {
	for file, l := range map[string]Language{"src/lib.rs": rustLanguage(), "assembly/index.ts": assemblyScriptLanguage()} {
		files, err := l.SDK()
		if err != nil || len(files[file]) == 0 {
			t.Errorf("%s: %d files, %v", l.Name, len(files), err)
		}
		for path := range files {
			if strings.Contains(path, "target") || strings.Contains(path, "node_modules") {
				t.Errorf("%s has %s", l.Name, path)
			}
		}
	}
}
