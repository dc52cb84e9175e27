// Command guests builds the handlers of the SDKs and the examples from source with
// `berth plugin build`, runs the conformance kit on them, and compares them with the
// fixtures in testdata/languages, or renews those. The root directory of the repository is
// the working directory.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/berth-host/berth/host/toolchain"
	"github.com/berth-host/berth/testdata/languages"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var g guests
	flag.StringVar(&g.berth, "berth", "bin/berth", "the berth binary")
	flag.StringVar(&g.out, "out", "bin/guests", "the directory for the built handlers")
	flag.BoolVar(&g.update, "update", false, "write the fixtures anew")
	only := flag.String("only", "", "languages, separated by commas; default all")
	flag.Parse()
	g.stdout = os.Stdout
	if *only != "" {
		g.only = strings.Split(*only, ",")
	}
	if err := g.all(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "guests:", err)
		os.Exit(1)
	}
}

type guests struct {
	berth  string
	out    string
	update bool
	only   []string
	stdout io.Writer
}

// goLanguage has no fixtures: tests build Go from source.
var goLanguage = languages.Language{Name: "go", SDK: "abi/go", Example: "plugins-src/shipment-webhook"}

func (g *guests) all(ctx context.Context) error {
	berth, err := filepath.Abs(g.berth)
	if err != nil {
		return err
	}
	g.berth = berth
	var failed []error
	for _, l := range append([]languages.Language{goLanguage}, languages.All()...) {
		if len(g.only) > 0 && !slices.Contains(g.only, l.Name) {
			continue
		}
		if err := g.language(ctx, l); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", l.Name, err))
		}
	}
	return errors.Join(failed...)
}

// language builds, checks and compares the handlers of one language.
func (g *guests) language(ctx context.Context, l languages.Language) error {
	projects := map[string]string{}
	for _, kind := range []string{"conformance", "typical", "minimum"} {
		projects[kind+".wasm"] = l.Project(kind)
	}
	if l.Example != "" {
		projects[filepath.Base(l.Example)+".wasm"] = l.Example
	}
	dir := filepath.Join(g.out, l.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range sortedKeys(projects) {
		begin := time.Now()
		if err := g.run(ctx, "plugin", "build", projects[name], "-o", filepath.Join(dir, name)); err != nil {
			return err
		}
		fmt.Fprintf(g.stdout, "%s: %s is built from %s (%.1f s)\n", l.Name, name, projects[name], time.Since(begin).Seconds())
	}
	if err := g.run(ctx, "abi", "conform", filepath.Join(dir, "conformance.wasm")); err != nil {
		return err
	}
	fmt.Fprintf(g.stdout, "%s: conformance.wasm conforms\n", l.Name)
	if l.Name == goLanguage.Name {
		return nil
	}
	if g.update {
		return g.write(ctx, l, dir)
	}
	return g.compare(l, dir)
}

// run runs berth; its output is shown when it fails.
func (g *guests) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, g.berth, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("berth %s: %w:\n%s", strings.Join(args, " "), err, text)
	}
	return nil
}

// write replaces the fixtures of a language.
func (g *guests) write(ctx context.Context, l languages.Language, dir string) error {
	source, err := l.Source(os.DirFS("."))
	if err != nil {
		return err
	}
	tools, err := toolVersions(ctx, l.Name)
	if err != nil {
		return err
	}
	f := languages.Fixture{Source: source, Tools: tools, Modules: map[string]languages.Module{}}
	fixtures := filepath.Join(languages.Dir, l.Name)
	if err := os.MkdirAll(fixtures, 0o755); err != nil {
		return err
	}
	for _, name := range sortedKeys(l.Modules()) {
		wasm, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		f.Modules[name] = languages.Module{SHA256: digest(wasm), Size: len(wasm)}
		if err := os.WriteFile(filepath.Join(fixtures, name), wasm, 0o644); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(fixtures, "fixture.json"), append(text, '\n'), 0o644)
}

// compare fails when a fixture is stale. A module that another version of a tool has built
// differs, which is only reported.
func (g *guests) compare(l languages.Language, dir string) error {
	root := os.DirFS(".")
	if err := l.Check(root); err != nil {
		return err
	}
	f, err := l.Read(root)
	if err != nil {
		return err
	}
	for _, name := range sortedKeys(l.Modules()) {
		wasm, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		same := "the same bytes as"
		if digest(wasm) != f.Modules[name].SHA256 {
			same = "other bytes than"
		}
		fmt.Fprintf(g.stdout, "%s: %s has %s the fixture\n", l.Name, name, same)
	}
	return nil
}

// toolVersions returns the tools of a language, with what they print as their version.
func toolVersions(ctx context.Context, name string) (list []string, err error) {
	l, err := toolchain.Named(name)
	if err != nil {
		return nil, err
	}
	versions, err := l.Versions(ctx)
	for _, v := range versions {
		list = append(list, strings.TrimSuffix(v.Name+": "+v.Version, ": "))
	}
	return list, err
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
