package toolchain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-host/berth/abi/js"
)

const (
	nodeTool = "Node.js"
	npmTool  = "npm"

	scriptSDK = "berth-js" // the SDK's name in package.json
)

// javaScriptLanguage builds with the SDK's own program: it bundles the handler with esbuild and joins
// it with a JavaScript engine.
func javaScriptLanguage() Language {
	return Language{
		Name: "javascript", Title: "JavaScript", Main: "handler.js", Tools: scriptTools(),
		Detect: func(dir fs.FS) bool { return scriptEntry(dir) == ".js" },
		Build:  buildScript,
		SDK:    func() (map[string][]byte, error) { return filesOf(js.Files) },
	}
}

// typeScriptLanguage builds in the same way. Types are removed, not checked.
func typeScriptLanguage() Language {
	l := javaScriptLanguage()
	l.Name, l.Title, l.Main = "typescript", "TypeScript", "handler.ts"
	l.Detect = func(dir fs.FS) bool { return scriptEntry(dir) == ".ts" }
	return l
}

func scriptTools() []Tool {
	return []Tool{
		{Name: nodeTool, Commands: []string{"node", "nodejs"}, Version: []string{"--version"}, Install: "apt-get install nodejs npm"},
		{Name: npmTool, Commands: []string{"npm"}, Version: []string{"--version"}, Install: "apt-get install nodejs npm"},
	}
}

// scriptPackage is what matters here of a package.json.
type scriptPackage struct {
	Main         string            `json:"main"`
	Dependencies map[string]string `json:"dependencies"`
	Development  map[string]string `json:"devDependencies"`
}

// sdk returns how the package refers to the SDK, "" if it does not.
func (p scriptPackage) sdk() string {
	if from := p.Dependencies[scriptSDK]; from != "" {
		return from
	}
	return p.Development[scriptSDK]
}

// scriptEntry returns the kind of the handler's source, .js or .ts, or "" if the directory is
// no project of the SDK's.
func scriptEntry(dir fs.FS) string {
	var p scriptPackage
	if readJSON(dir, "package.json", &p) != nil || p.sdk() == "" {
		return ""
	}
	typed := strings.HasSuffix(p.Main, "ts") || strings.HasSuffix(p.Main, ".tsx")
	if p.Main == "" {
		typed = anyFile(dir, "handler.ts", "src/handler.ts", "index.ts") // in the order of the SDK's build
	}
	if typed {
		return ".ts"
	}
	return ".js"
}

// buildScript installs the packages that the SDK and the project need, where they are not
// installed yet, and builds.
func buildScript(ctx context.Context, b *Build) error {
	var p scriptPackage
	if err := readJSON(os.DirFS(b.Dir), "package.json", &p); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(b.Dir, "package.json"), err)
	}
	sdk, vendored := strings.CutPrefix(p.sdk(), "file:")
	if !filepath.IsAbs(sdk) {
		sdk = filepath.Join(b.Dir, filepath.FromSlash(sdk))
	}
	if !vendored {
		sdk = filepath.Join(b.Dir, "node_modules", scriptSDK)
	}
	directories := []string{b.Dir}
	if vendored {
		directories = append(directories, sdk)
	}
	for _, dir := range directories {
		if installed, err := packagesInstalled(dir); err != nil {
			return err
		} else if installed {
			continue
		}
		fmt.Fprintln(b.Log, "npm ci in", dir)
		if err := b.RunIn(ctx, dir, npmTool, "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"); err != nil {
			return err
		}
	}
	return b.Run(ctx, nodeTool, filepath.Join(sdk, "bin", scriptSDK+".mjs"), "build", b.Dir, "-o", b.Output)
}

// packagesInstalled reports whether the packages that package-lock.json names are installed
// in a directory; it is true without that file.
func packagesInstalled(dir string) (bool, error) {
	lock, err := os.Stat(filepath.Join(dir, "package-lock.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	// npm writes this file when everything is installed.
	done, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && !done.ModTime().Before(lock.ModTime()), err
}
