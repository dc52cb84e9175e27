package toolchain

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// clangScript is a compiler that prints its arguments, one call a line, with the directory
// of the build as TEMP, and writes what it is asked for: a module with debug information.
const clangScript = `
for arg; do
	case "$before" in -o) output=$arg;; esac
	before=$arg
done
echo "$@" | sed "s:$(dirname "$output"):TEMP:g"
printf '\000asm\001\000\000\000\000\013\012.debug_loc\000\014\012.debug_strX' > "$output"
`

// cProject makes a project of files, with scripts in place of the tools, and returns it.
func cProject(t *testing.T, l Language, files map[string]string) Project {
	t.Helper()
	script(t, l.Tools[0].Commands[0], clangScript, "sed", "dirname")
	p := Project{Dir: t.TempDir(), Name: "stock", Language: l}
	for i := range p.Language.Tools[1:] { // those that are not run
		p.Language.Tools[i+1].Commands, p.Language.Tools[i+1].Files = nil, []string{p.Dir}
	}
	for name, text := range files {
		path := filepath.Join(p.Dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestBuildOfC(t *testing.T) {
	const common = "--target=wasm32-wasi -Oz -gline-tables-only -mbulk-memory -ffile-prefix-map=DIR=. "
	for _, tt := range []struct {
		name     string
		language Language
		files    map[string]string
		want     []string // lines of the log
	}{
		{name: "the SDK of this program", language: cLanguage(), files: map[string]string{"a.c": "int main(void) {"},
			want: []string{common + "-ffile-prefix-map=TEMP/berth=berth -ITEMP/berth -c -o TEMP/0.o a.c",
				"--target=wasm32-wasi -Wl,-z,stack-size=65536 -O0 -o TEMP/stock.wasm TEMP/0.o"}},
		{name: "the project's SDK, flags and two files", language: cLanguage(),
			files: map[string]string{"a.c": "int helper;", "b.c": "static int x;\nint\n  main (void) {}", "berth/berth.h": "", "compile_flags.txt": "-Wall"},
			want: []string{common + "-ffile-prefix-map=DIR/berth=berth -IDIR/berth @compile_flags.txt -c -o TEMP/0.o a.c",
				common + "-ffile-prefix-map=DIR/berth=berth -IDIR/berth @compile_flags.txt -c -o TEMP/1.o b.c",
				"--target=wasm32-wasi -Wl,-z,stack-size=65536 @compile_flags.txt -Wno-unused-command-line-argument -O0 -o TEMP/stock.wasm TEMP/0.o TEMP/1.o"}},
		{name: "no main", language: cLanguage(), files: map[string]string{"a.c": "// no main() here\nvoid run(void) { domain(); }", "berth/berth.h": ""},
			want: []string{common + "-ffile-prefix-map=DIR/berth=berth -IDIR/berth -c -o TEMP/0.o a.c",
				"--target=wasm32-wasi -Wl,-z,stack-size=65536 -O0 -o TEMP/stock.wasm TEMP/0.o -mexec-model=reactor"}},
		{name: "C++", language: cppLanguage(), files: map[string]string{"a.cc": "int main() {", "b.cpp": "", "berth/berth.h": ""},
			want: []string{common + "-ffile-prefix-map=DIR/berth=berth -IDIR/berth -fno-exceptions -c -o TEMP/0.o a.cc",
				common + "-ffile-prefix-map=DIR/berth=berth -IDIR/berth -fno-exceptions -c -o TEMP/1.o b.cpp",
				"--target=wasm32-wasi -Wl,-z,stack-size=65536 -fno-exceptions -O0 -o TEMP/stock.wasm TEMP/0.o TEMP/1.o"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := cProject(t, tt.language, tt.files)
			var log strings.Builder
			if _, err := p.Build(t.Context(), p.Output(), &log); err != nil {
				t.Fatalf("%v\n%s", err, log.String())
			}
			got := strings.ReplaceAll(strings.TrimSpace(log.String()), p.Dir, "DIR")
			if want := strings.Join(tt.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			wasm, err := os.ReadFile(p.Output())
			if err != nil || strings.Contains(string(wasm), ".debug_loc") || !strings.Contains(string(wasm), ".debug_str") {
				t.Errorf("the module is %q, %v", wasm, err)
			}
		})
	}
}

func TestBuildOfCFails(t *testing.T) {
	p := cProject(t, cLanguage(), map[string]string{"a.c": ""})
	script(t, "clang-19", "echo 'a.c:1: error: no' >&2; exit 1")
	var log strings.Builder
	if _, err := p.Build(t.Context(), p.Output(), &log); err == nil || err.Error() != "clang 19 failed (exit status 1)" || log.String() != "a.c:1: error: no\n" {
		t.Errorf("got %v and %q", err, log.String())
	}
}

// Missing tools of C are named at once, with one command.
func TestMissingClang(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	l := cLanguage()
	for i := range l.Tools {
		l.Tools[i].Files = nil
		l.Tools[i].Commands = l.Tools[i].Commands[:min(1, len(l.Tools[i].Commands))]
	}
	_, err := l.Find()
	const want = "clang 19 and lld 19 and wasi-libc and the compiler's library for WebAssembly are missing; install it with: " +
		"apt-get install clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestDetectCFamily(t *testing.T) {
	for _, tt := range []struct {
		files string // of the directory
		want  string // "" for none
	}{
		{"manifest.json handler.c", "c"},
		{"manifest.json handler.c more.cpp", "cpp"},
		{"manifest.json handler.cc", "cpp"},
		{"handler.c", ""}, // any C program
		{"main.zig", "zig"},
		{"manifest.json src/main.zig", "zig"},
		{"manifest.json", ""},
	} {
		dir := fstest.MapFS{}
		for _, name := range strings.Fields(tt.files) {
			dir[name] = &fstest.MapFile{}
		}
		l, err := Detect(dir)
		if l.Name != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: got %q, %v", tt.files, l.Name, err)
		}
	}
}
