package toolchain

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
)

// scriptProject is a project of these files whose tools are scripts that answer as node and
// npm do.
func scriptProject(t *testing.T, files map[string]string) *Build {
	t.Helper()
	script(t, "node", `echo "node $@" >> calls.log
while [ "$1" != --outFile ]; do shift; done
printf '\000asm\001\000\000\000' > "$2"
test -z "$MAP" || echo "$MAP" > "$2.map"
`)
	bin := os.Getenv("PATH")
	script(t, "npm", `echo "npm $@" >> calls.log
mkdir -p node_modules/assemblyscript
echo '{"version":"1.2.3"}' > node_modules/assemblyscript/package.json
`, "mkdir")
	dir := filepath.Join(t.TempDir(), "above", "project")
	for name, text := range files {
		change(t, dir, name, text)
	}
	return &Build{Dir: dir, Name: "stock", Output: filepath.Join(t.TempDir(), "stock.wasm"), Log: io.Discard,
		tools: map[string]string{nodeTool: filepath.Join(bin, "node"), npmTool: filepath.Join(os.Getenv("PATH"), "npm")}}
}

func TestAssemblyScript(t *testing.T) {
	const wants = `{"devDependencies":{"assemblyscript":"1.2.3"}}`
	for _, tt := range []struct {
		name     string
		files    map[string]string
		npm, err string // "": npm is not called; no error

		transform bool
	}{
		{name: "lock file", files: map[string]string{"package.json": wants, "package-lock.json": "{}"}, npm: "npm ci --no-audit --no-fund\n"},
		{name: "no lock file", files: map[string]string{"package.json": wants}, npm: "npm install --no-audit --no-fund\n"},
		{name: "installed", files: map[string]string{"package.json": wants, "node_modules/assemblyscript/package.json": `{"version":"1.2.3"}`}},
		{name: "installed above", files: map[string]string{"package.json": wants,
			"../node_modules/assemblyscript/package.json": `{"version":"1.2.3"}`}},
		{name: "another version installed", npm: "npm ci --no-audit --no-fund\n", files: map[string]string{"package.json": wants,
			"package-lock.json": "{}", "node_modules/assemblyscript/package.json": `{"version":"1.2.2"}`}},
		{name: "copy of the SDK", transform: true, files: map[string]string{"package.json": wants, "berth/transform.mjs": "",
			"node_modules/assemblyscript/package.json": `{"version":"1.2.3"}`}},
		{name: "range", files: map[string]string{"package.json": `{"dependencies":{"assemblyscript":"^1"}}`,
			"node_modules/assemblyscript/package.json": `{"version":"1.9.9"}`}},
		{name: "version that npm does not install", npm: "npm install --no-audit --no-fund\n", err: "npm has not installed assemblyscript",
			files: map[string]string{"package.json": `{"devDependencies":{"assemblyscript":"9.9.9"}}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := scriptProject(t, tt.files)
			b.Env = append(b.Env, `MAP={"version":3,"sources":["assembly/index.ts"],"sourcesContent":["function f() {} // hidden"],"mappings":"AAAA"}`)
			if l, err := Detect(os.DirFS(b.Dir)); err != nil || l.Name != "assemblyscript" {
				t.Fatalf("got %s, %v", l.Name, err)
			}
			err := buildAssemblyScript(t.Context(), b)
			calls, readErr := os.ReadFile(filepath.Join(b.Dir, "calls.log"))
			if readErr != nil {
				t.Fatal(readErr)
			}
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || string(calls) != tt.npm {
					t.Errorf("got %v, calls %s", err, calls)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			npm, node, _ := strings.Cut(string(calls), "node ")
			if strings.Contains(node, " --transform ./berth/transform.mjs") != tt.transform || npm != tt.npm || !strings.Contains(node, "asc.js assembly/index.ts --outFile ") {
				t.Errorf("got %s", calls)
			}
			wasm, err := os.ReadFile(b.Output)
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := abi.FindSection(wasm, sourceMapSection)
			if want := `{"mappings":"AAAA","sources":["assembly/index.ts"],"version":3,"x_berth_functions":[[["f",1,1]]]}`; err != nil || string(got) != want {
				t.Errorf("got %s, %v; want %s", got, err, want)
			}
		})
	}
}

func TestAssemblyScriptSourceMap(t *testing.T) {
	files := map[string]string{"package.json": `{"devDependencies":{"assemblyscript":"1.2.3"}}`}
	b := scriptProject(t, files)
	if err := buildAssemblyScript(t.Context(), b); err != nil {
		t.Errorf("without a source map: %v", err)
	}
	b.Env = append(b.Env, "MAP=[")
	if err := buildAssemblyScript(t.Context(), b); err == nil || !strings.Contains(err.Error(), "the source map") {
		t.Errorf("got %v", err)
	}
}
