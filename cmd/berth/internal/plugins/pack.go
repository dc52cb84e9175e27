package plugins

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/plugin/folder"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/toolchain"
)

func (a app) pack() *cobra.Command {
	var lang, output string
	cmd := command.New("pack FILE.wasm|DIR", "Make the one file to publish: vetted, with its manifest inside",
		func(ctx context.Context, args []string) error { return a.packFile(ctx, args[0], lang, output) })
	cmd.Long = `Makes NAME-VERSION.wasm, the one file that another host or a marketplace needs: of a module,
with the manifest beside it (FILE.wasm.json) put inside, or of a project, which is built
first. The module is vetted as a host would, and its manifest must have what a release
needs: a name and a version. It prints what would be published. It needs no running host.`
	cmd.Example = "  berth plugin pack stock-alert\n  berth plugin pack build/stock-alert.wasm -o dist/stock-alert.wasm"
	languageFlag(cmd, &lang, "the project's language, if its files do not show it")
	cmd.Flags().StringVarP(&output, "output", "o", "", "the file to write (default: NAME-VERSION.wasm beside FILE.wasm, or in DIR)")
	return cmd
}

func (a app) packFile(ctx context.Context, from, lang, output string) error {
	wasm, dir, err := a.packed(ctx, from, lang)
	if err != nil {
		return err
	}
	text, inside, err := abi.FindSection(wasm, abi.ManifestSection)
	if err == nil && !inside {
		err = errors.New("it has no manifest: write manifest.json in its project, or FILE.wasm.json beside the module")
	}
	var manifest abi.Manifest
	if err == nil {
		manifest, err = abi.ParseManifest(text)
	}
	if err == nil && (manifest.Name == "" || manifest.Version == "") {
		err = errors.New("its manifest needs a name and a version")
	}
	if err != nil {
		return fmt.Errorf("%s cannot be published: %w", from, err)
	}
	verdict, refusal, err := a.vet(ctx, wasm)
	if err != nil {
		return err
	}
	if refusal != nil {
		return fmt.Errorf("%s is refused: %s", from, refusal.Reason)
	}
	if output == "" {
		output = filepath.Join(dir, manifest.Name+"-"+manifest.Version+".wasm")
	}
	if err := toolchain.WriteFile(output, wasm); err != nil {
		return fmt.Errorf("write %s: %w", output, err)
	}
	return a.printPacked(output, wasm, manifest, verdict.Report)
}

// packed returns the module with its manifest inside, and the directory to write it to.
func (a app) packed(ctx context.Context, from, lang string) (wasm []byte, dir string, err error) {
	if info, err := os.Stat(from); err != nil {
		return nil, "", err
	} else if info.IsDir() {
		p, err := toolchain.Open(from, lang)
		if err != nil {
			return nil, "", err
		}
		module, err := a.buildProject(ctx, p, p.Output())
		if err != nil {
			return nil, "", err
		}
		wasm, err := readModule(module.Path)
		return wasm, from, err
	}
	if wasm, err = readModule(from); err != nil {
		return nil, "", err
	}
	manifest, err := readManifest(folder.Sidecar(from))
	if err != nil {
		return nil, "", err
	}
	if manifest != nil {
		manifest = abi.TrimBOM(manifest)
		if _, err := abi.ParseManifest(manifest); err != nil {
			return nil, "", fmt.Errorf("%s: %w", folder.Sidecar(from), err)
		}
	}
	wasm, err = toolchain.Embed(wasm, manifest)
	if err != nil {
		err = fmt.Errorf("%s: %w", from, err)
	}
	return wasm, filepath.Dir(from), err
}

func (a app) printPacked(path string, wasm []byte, m abi.Manifest, report vet.Report) error {
	s := a.NewSheet()
	s.Add("plugin", m.Name+" "+m.Version)
	for _, line := range [][2]string{{"about", m.Description}, {"license", m.License}, {"homepage", m.Homepage}} {
		if line[1] != "" {
			s.Add(line[0], line[1])
		}
	}
	s.Add("style", report.Style)
	types := "every routed type"
	if m.Subscribes != nil {
		var globs []string
		for _, sub := range m.Subscribes {
			globs = append(globs, sub.EventType)
		}
		types = strings.Join(globs, ", ")
	}
	s.Add("subscribes", types)
	for _, c := range m.Capabilities {
		what := append(append(append([]string{c.Name}, c.Hosts...), c.EventTypes...), c.Names...)
		s.Add("asks for", strings.Join(what, " ")+reasonOf(c))
	}
	s.Add("sha256", fmt.Sprintf("%x", sha256.Sum256(wasm)))
	s.Add("size", vet.Amount(uint64(len(wasm)), "bytes"))
	s.Add("written to", relative(path))
	if err := s.Flush(); err != nil {
		return err
	}
	return a.Print("\nPublish it with: berth marketplace release %s --publisher PUBLISHER --key KEY\n", relative(path))
}

func reasonOf(c abi.Capability) string {
	if c.Reason == "" {
		return ""
	}
	return ": " + c.Reason
}
