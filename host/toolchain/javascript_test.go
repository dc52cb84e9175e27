package toolchain

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestScriptsAreDetected(t *testing.T) {
	const plain = `{"dependencies":{"berth-js":"file:berth"}}`
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string // "": no language
	}{
		{"main in JavaScript", map[string]string{"package.json": `{"main":"src/a.mjs","dependencies":{"berth-js":"1"}}`, "handler.ts": ""}, "javascript"},
		{"main in TypeScript", map[string]string{"package.json": `{"main":"src/a.ts","devDependencies":{"berth-js":"1"}}`}, "typescript"},
		{"no main, JavaScript", map[string]string{"package.json": plain, "handler.js": ""}, "javascript"},
		{"no main, TypeScript", map[string]string{"package.json": plain, "src/handler.ts": ""}, "typescript"},
		{"without the SDK", map[string]string{"package.json": `{"dependencies":{"left-pad":"1"}}`, "handler.js": ""}, ""},
		{"damaged", map[string]string{"package.json": `{`, "handler.js": ""}, ""},
		{"of another shape", map[string]string{"package.json": `{"dependencies":["berth-js"]}`, "handler.js": ""}, ""},
	} {
		dir := t.TempDir()
		for name, text := range tt.files {
			change(t, dir, name, text)
		}
		if l, _ := Detect(os.DirFS(dir)); l.Name != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, l.Name, tt.want)
		}
	}
}

// TestScriptBuild follows which packages a build installs, and where.
func TestScriptBuild(t *testing.T) {
	const ci = " ci --ignore-scripts --prefer-offline --no-audit --no-fund --loglevel=error\n"
	const vendored = `{"dependencies":{"berth-js":"file:../sdk"}}`
	for _, tt := range []struct {
		name      string
		files     map[string]string // below the directory of project and sdk
		stale     string            // a lock file that is newer than everything else
		installed []string          // directories, in order
		program   string
	}{
		{name: "new", files: map[string]string{"project/package.json": vendored, "sdk/package-lock.json": "{}"}, installed: []string{"sdk"}, program: "sdk"},
		{name: "installed", files: map[string]string{"project/package.json": vendored, "sdk/package-lock.json": "{}", "sdk/node_modules/.package-lock.json": "{}"}, program: "sdk"},
		{name: "another lock file since", files: map[string]string{"project/package.json": vendored, "sdk/package-lock.json": "{}",
			"sdk/node_modules/.package-lock.json": "{}"}, stale: "sdk/package-lock.json", installed: []string{"sdk"}, program: "sdk"},
		{name: "packages of its own", files: map[string]string{"project/package.json": vendored, "project/package-lock.json": "{}", "sdk/package-lock.json": "{}"},
			installed: []string{"project", "sdk"}, program: "sdk"},
		{name: "the SDK as a package", files: map[string]string{"project/package.json": `{"dependencies":{"berth-js":"1.0.0"}}`, "project/package-lock.json": "{}"},
			installed: []string{"project"}, program: "project/node_modules/berth-js"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			top := t.TempDir()
			written := time.Now()
			for name, text := range tt.files {
				at := written
				if name == tt.stale {
					at = at.Add(time.Hour)
				}
				change(t, top, name, text)
				if err := os.Chtimes(filepath.Join(top, name), at, at); err != nil {
					t.Fatal(err)
				}
			}
			calls := filepath.Join(t.TempDir(), "calls")
			script(t, "npm", `echo "$(basename "$(pwd)") $@" >> `+calls, "basename")
			npm := filepath.Join(os.Getenv("PATH"), "npm")
			script(t, "node", `echo "$@" >> `+calls)
			b := &Build{Dir: filepath.Join(top, "project"), Output: "/out/stock.wasm", Log: io.Discard,
				tools: map[string]string{npmTool: npm, nodeTool: filepath.Join(os.Getenv("PATH"), "node")}}
			// The script of npm finds basename beside itself.
			b.Env = append(b.Env, "PATH="+filepath.Dir(npm))
			if err := buildScript(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			var want strings.Builder
			for _, dir := range tt.installed {
				want.WriteString(dir + ci)
			}
			want.WriteString(filepath.Join(top, tt.program, "bin/berth-js.mjs") + " build " + b.Dir + " -o /out/stock.wasm\n")
			if got, err := os.ReadFile(calls); err != nil || string(got) != want.String() {
				t.Errorf("got %s, %v; want %s", got, err, want.String())
			}
		})
	}
}

func TestScriptBuildFails(t *testing.T) {
	dir := t.TempDir()
	change(t, dir, "package.json", `{"dependencies":{"berth-js":"file:."}}`)
	change(t, dir, "package-lock.json", `{}`)
	script(t, "npm", "exit 3")
	tool := filepath.Join(os.Getenv("PATH"), "npm")
	b := &Build{Dir: dir, Log: io.Discard, tools: map[string]string{npmTool: tool, nodeTool: tool}}
	var failed *ToolError
	if err := buildScript(t.Context(), b); !errors.As(err, &failed) || failed.Tool != npmTool {
		t.Errorf("got %v", err)
	}
	change(t, dir, "package.json", `{`)
	if err := buildScript(t.Context(), b); err == nil || !strings.Contains(err.Error(), "package.json: ") {
		t.Errorf("got %v", err)
	}
}
