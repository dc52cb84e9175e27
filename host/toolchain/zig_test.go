package toolchain

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
)

// zigProject makes a project with these files, and a script as Zig that prints env, records
// its other arguments, and writes a module to the file that $OUTPUT names.
func zigProject(t *testing.T, env, write string, files ...string) Project {
	t.Helper()
	t.Setenv("ZIG_GLOBAL_CACHE_DIR", filepath.Join(t.TempDir(), "zig"))
	script(t, "zig", `
if [ "$1" = env ]; then printf '%s' '`+env+`'; exit; fi
echo "$@"
for arg; do case "$arg" in -femit-bin=*) output="${arg#-femit-bin=}";; esac; done
`+write, "mkdir")
	p := Project{Dir: t.TempDir(), Name: "stock", Language: zigLanguage()}
	for _, name := range files {
		path := filepath.Join(p.Dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestBuildOfZig(t *testing.T) {
	const (
		zon    = `.{ .zig_exe = "/opt/zig/zig", .lib_dir = "/opt/zig/lib", .std_dir = "/opt/zig/lib/std" }`
		json   = `{ "zig_exe": "/opt/zig/zig", "lib_dir": "/opt/zig/lib" }`
		header = `printf '\000asm\001\000\000\000' > "$output"; `
		write  = header + `printf '\000\047\012.debug_str/opt/zig/lib/std\000/cache/zigs' >> "$output"`
		direct = "--dep berth -Mroot=main.zig -Mberth=berth/berth.zig"
	)
	for _, tt := range []struct {
		name, env, write string
		files            string
		log              string // part of it
		text             string // of .debug_str
		err              string
	}{
		{name: "SDK in the project", env: zon, write: write, files: "main.zig berth/berth.zig", log: direct, text: "zig//////////std\x00/cache/zigs"},
		{name: "SDK of this program", env: json, write: write, files: "main.zig", log: "/berth.zig -femit", text: "zig//////////std\x00/cache/zigs"},
		{name: "main in src", env: zon, write: write, files: "src/main.zig", log: "-Mroot=src/main.zig", text: "zig//////////std\x00/cache/zigs"},
		{name: "no lib_dir", env: "{}", files: "main.zig", err: "zig env does not say where"},
		{name: "build.zig", env: zon, files: "build.zig src/main.zig", log: "build --release=safe --prefix",
			write: `output="$4/bin/x.wasm"; mkdir -p "$4/bin"; ` + write, text: "zig//////////std\x00/cache/zigs"},
		{name: "build.zig without a module", env: zon, files: "build.zig", write: `mkdir -p "$4"`, err: "build.zig installs 0 modules"},
		{name: "compiler fails", env: zon, files: "main.zig", write: "exit 1", err: "Zig failed (exit status 1)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := zigProject(t, tt.env, tt.write, strings.Fields(tt.files)...)
			var log strings.Builder
			_, err := p.Build(t.Context(), p.Output(), &log)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("got %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil || !strings.Contains(log.String(), tt.log) {
				t.Fatalf("got %v and %q, want %q", err, log.String(), tt.log)
			}
			wasm, err := os.ReadFile(p.Output())
			if err != nil {
				t.Fatal(err)
			}
			if text, _, err := abi.FindSection(wasm, ".debug_str"); err != nil || string(text) != tt.text {
				t.Errorf("got %q, %v; want %q", text, err, tt.text)
			}
		})
	}
}

func TestZigThatFailsIsShown(t *testing.T) {
	p := zigProject(t, "", "", "main.zig")
	script(t, "zig", "echo 'no zig today' >&2; exit 1")
	var log strings.Builder
	if _, err := p.Build(t.Context(), p.Output(), &log); err == nil || log.String() != "no zig today\n" {
		t.Errorf("got %v and %q", err, log.String())
	}
}

func TestRenameDirectory(t *testing.T) {
	for _, tt := range []struct{ text, dir, name, want string }{
		{"/a/bc/main.zig\x00", "/a/bc", ".", "./////main.zig\x00"},
		{"\x01/a/bc\x00/a/bc\x00", "/a/bc", "zig", "\x01zig//\x00zig//\x00"},
		{"/a/bcd\x00/x/a/bc\x00", "/a/bc", ".", "/a/bcd\x00/x/a/bc\x00"}, // not whole elements, not at the start
		{"/a/bc", "/a/bc", "longer than it", "longe"},
		{"", "/a/bc", ".", ""},
	} {
		text := []byte(tt.text)
		renameDirectory(text, tt.dir, tt.name)
		if string(text) != tt.want {
			t.Errorf("%q: got %q, want %q", tt.text, text, tt.want)
		}
	}
}
