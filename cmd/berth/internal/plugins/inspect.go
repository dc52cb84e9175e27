package plugins

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/plugin/folder"
	"github.com/berth-host/berth/host/sandbox/prescan"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
)

func (a app) inspect() *cobra.Command {
	var asJSON bool
	cmd := command.New("inspect FILE", "Vet a module file and print what it is; needs no running host",
		func(ctx context.Context, args []string) error {
			wasm, err := readModule(args[0])
			if err != nil {
				return err
			}
			verdict, refusal, err := a.vet(ctx, wasm)
			if err != nil {
				return err
			}
			beside := folder.Sidecar(args[0])
			sidecar, err := readManifest(beside)
			if err != nil {
				return err
			}
			if sidecar != nil {
				a.Note("berth: the manifest is that of %s: in a watched directory it replaces the one inside the module\n", beside)
				verdict.Report.Manifest, verdict.Report.ManifestError = validManifest(sidecar)
			}
			if asJSON {
				err = a.EncodeJSON(verdict.Report, true)
			} else {
				err = a.printReport(verdict.Report)
			}
			switch {
			case err != nil:
				return err
			case refusal != nil:
				return fmt.Errorf("%s is refused: %s", args[0], refusal.Reason)
			case sidecar != nil && verdict.Report.ManifestError != "":
				return fmt.Errorf("%s is refused: %s", beside, verdict.Report.ManifestError)
			}
			return nil
		})
	cmd.Long = `Vet a module file as a host would, and print what it is: its style, imports and
exports, its manifest, and its largest constructs with their limits. A manifest beside
the module (FILE.json) replaces the one inside. Nothing of it is run. A module that a
host would refuse is printed too, and the exit code is 1.`
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	return cmd
}

// validManifest returns a manifest in one line, or what is wrong with it.
func validManifest(text []byte) (manifest json.RawMessage, problem string) {
	text = abi.TrimBOM(text)
	if _, err := abi.ParseManifest(text); err != nil {
		return nil, err.Error()
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return nil, err.Error()
	}
	return line.Bytes(), ""
}

// vet vets a module. A refusal has a report, too.
func (a app) vet(ctx context.Context, wasm []byte) (vet.Verdict, *vet.Refusal, error) {
	dir, err := os.MkdirTemp("", "berth-inspect-")
	if err != nil {
		return vet.Verdict{}, nil, err
	}
	defer os.RemoveAll(dir)
	vetter, err := vet.New(vet.Config{CacheDir: dir, Version: a.Version})
	if err != nil {
		return vet.Verdict{}, nil, err
	}
	verdict, err := vetter.Vet(ctx, spec.NewArtifact(wasm))
	var refusal *vet.Refusal
	if err != nil && !errors.As(err, &refusal) {
		return vet.Verdict{}, nil, err // no verdict
	}
	return verdict, refusal, nil
}

// readModule reads a regular file of at most the size of a module. It does not block on a
// pipe.
func readModule(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	limit := int64(prescan.Limits{}.WithDefaults().ModuleBytes)
	if info.Size() > limit {
		return nil, fmt.Errorf("%s is %s long: a module has at most %s", path, vet.Amount(uint64(info.Size()), "bytes"),
			vet.Amount(uint64(limit), "bytes"))
	}
	wasm, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(wasm)) > limit {
		err = fmt.Errorf("%s is growing while it is read", path)
	}
	return wasm, err
}

// printReport prints a report for people.
func (a app) printReport(r vet.Report) error {
	s := a.NewSheet()
	line := func(name, format string, args ...any) {
		s.Add(name, fmt.Sprintf(format, args...))
	}
	verdict := "passed"
	if r.Error != nil {
		verdict = "refused (" + r.Error.Code + ")"
	}
	line("verdict", "%s", verdict)
	if e := r.Error; e != nil {
		line("reason", "%s", e.Reason)
		if e.Limit != "" {
			line("limit", "%s: %s, the limit is %s", e.Limit, vet.Amount(e.Measured, e.Unit), vet.Amount(e.Max, e.Unit))
		}
	}
	line("sha256", "%s", r.SHA256)
	line("size", "%s", vet.Amount(uint64(r.Size), "bytes"))
	if r.Style != "" {
		line("style", "%s, entered at %s", r.Style, r.Entry)
	}
	maximum := "no maximum of its own"
	if r.Memory.Max > 0 {
		maximum = "at maximum " + vet.Amount(uint64(r.Memory.Max), "bytes")
	}
	line("memory", "%s from the start, %s", vet.Amount(uint64(r.Memory.Min), "bytes"), maximum)
	line("functions", "%s", vet.Amount(uint64(r.Functions), ""))
	if f := r.Fuel; f != nil {
		line("fuel", "charged at %s function entries and %s loops, at most %s at once",
			vet.Amount(uint64(f.Entries), ""), vet.Amount(uint64(f.Loops), ""), vet.Amount(uint64(max(f.MaxCharge, 0)), ""))
	}
	showManifest(line, r)
	section := func(titles string) { s.Title("\n" + titles) }
	section("LARGEST\tVALUE\tLIMIT")
	for _, m := range r.Largest {
		if r.Error != nil && m.Value == 0 {
			continue // perhaps not measured
		}
		s.Add(m.What, vet.Amount(m.Value, m.Unit), vet.Amount(m.Limit, m.Unit))
	}
	if len(r.Imports) > 0 {
		section("IMPORT\tTYPE")
	}
	for _, i := range r.Imports {
		s.Add(i.Module+"."+i.Name, kindOf(i))
	}
	if len(r.Exports) > 0 {
		section("EXPORT\tTYPE")
	}
	for _, e := range r.Exports {
		s.Add(e.Name, kindOf(e))
	}
	if r.Unlisted > 0 {
		s.Add("and " + vet.Amount(uint64(r.Unlisted), "") + " more")
	}
	return s.Flush()
}

func showManifest(line func(name, format string, args ...any), r vet.Report) {
	switch {
	case r.ManifestError != "":
		line("manifest", "not valid: %s", r.ManifestError)
	case r.Manifest != nil:
		line("manifest", "%s", string(r.Manifest))
	case r.Error == nil:
		line("manifest", "none inside; it may lie beside the file")
	}
}

func kindOf(e vet.Extern) string {
	if e.Type != "" {
		return e.Type
	}
	return e.Kind
}
