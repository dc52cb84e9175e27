package toolchain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/abi/assemblyscript"
)

// sourceMapSection is the custom section with a module's source map.
const sourceMapSection = "berth.sourcemap"

// scriptTransform is the SDK's transform of the compiler.
const scriptTransform = "transform.mjs"

func assemblyScriptLanguage() Language {
	return Language{
		Name: "assemblyscript", Title: "AssemblyScript", Main: "assembly/index.ts",
		Tools:  scriptTools(),
		Detect: func(dir fs.FS) bool { return wantedCompiler(dir) != "" },
		Build:  buildAssemblyScript,
		SDK:    func() (map[string][]byte, error) { return filesOf(assemblyscript.Files) },
	}
}

// wantedCompiler returns the version of AssemblyScript that a project's package.json asks
// for, "" if it does not.
func wantedCompiler(dir fs.FS) string {
	var project struct {
		Dependencies    map[string]string `json:"dependencies"`
		DevDependencies map[string]string `json:"devDependencies"`
	}
	if readJSON(dir, "package.json", &project) != nil {
		return ""
	}
	if version := project.DevDependencies["assemblyscript"]; version != "" {
		return version
	}
	return project.Dependencies["assemblyscript"]
}

func readJSON(dir fs.FS, name string, v any) error {
	text, err := fs.ReadFile(dir, name)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// buildAssemblyScript installs the compiler unless it is there, compiles, and embeds the
// source map. The options are those of asconfig.json, and the
// transform of a copy of the SDK.
func buildAssemblyScript(ctx context.Context, b *Build) error {
	compiler := installedCompiler(b.Dir)
	if compiler == "" {
		install := "install"
		if _, err := os.Stat(filepath.Join(b.Dir, "package-lock.json")); err == nil {
			install = "ci"
		}
		if err := b.Run(ctx, npmTool, install, "--no-audit", "--no-fund"); err != nil {
			return err
		}
		if compiler = installedCompiler(b.Dir); compiler == "" {
			return errors.New("npm has not installed assemblyscript in the version that package.json names")
		}
	}
	args := []string{filepath.Join(compiler, "bin", "asc.js"), "assembly/index.ts", "--outFile", b.Output}
	if _, err := os.Stat(filepath.Join(b.Dir, vendored, scriptTransform)); err == nil {
		args = append(args, "--transform", "./"+vendored+"/"+scriptTransform) // asconfig.json would lose the "./"
	}
	if err := b.Run(ctx, nodeTool, args...); err != nil {
		return err
	}
	return embedSourceMap(b.Output)
}

// installedCompiler returns the directory of the compiler: in node_modules of the project or
// of a directory above, as Node.js finds it, in the version that the project asks for if
// that is an exact one.
func installedCompiler(dir string) string {
	wanted := wantedCompiler(os.DirFS(dir))
	for at := dir; ; at = filepath.Dir(at) {
		compiler := filepath.Join(at, "node_modules", "assemblyscript")
		var installed struct {
			Version string `json:"version"`
		}
		err := readJSON(os.DirFS(compiler), "package.json", &installed)
		if err == nil && (installed.Version == wanted || wanted == "" || wanted[0] < '0' || wanted[0] > '9') {
			return compiler
		}
		if at == filepath.Dir(at) {
			return ""
		}
	}
}

// embedSourceMap moves a source map that the compiler wrote beside the module into it,
// without the texts of the sources, and removes the section that names the file.
func embedSourceMap(module string) error {
	text, err := os.ReadFile(module + ".map")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the project's options ask for none
	}
	if err != nil {
		return err
	}
	var sources map[string]json.RawMessage
	if err := json.Unmarshal(text, &sources); err != nil {
		return fmt.Errorf("the source map: %w", err)
	}
	if sources[functionsMember], err = functionsOfMap(text); err != nil {
		return fmt.Errorf("the source map: %w", err)
	}
	delete(sources, "sourcesContent")
	delete(sources, "sourceRoot") // the compiler's own
	if text, err = json.Marshal(sources); err != nil {
		return err
	}
	wasm, err := os.ReadFile(module)
	if err != nil {
		return err
	}
	if wasm, err = abi.RemoveSections(wasm, func(name string) bool { return name == "sourceMappingURL" }); err != nil {
		return err
	}
	if wasm, err = abi.PutSection(wasm, sourceMapSection, text); err != nil {
		return err
	}
	return os.WriteFile(module, wasm, 0o644)
}
