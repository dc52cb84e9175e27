package admin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/doctor"
	"github.com/berth-host/berth/host/store/repair"
	"github.com/berth-host/berth/host/wire"
)

// exitLosses is the exit code of a repair that has lost something.
const exitLosses = 3

// repairFlags are the flags of berth doctor --repair.
type repairFlags struct {
	repair, replace bool
	output          string
}

func (f repairFlags) check() error {
	switch {
	case !f.repair && (f.replace || f.output != ""):
		return command.Usage("--output and --replace belong to --repair")
	case f.replace && f.output != "":
		return command.Usage("--replace puts the new store in the place of the old one; it needs no --output")
	}
	return nil
}

// repaired is the answer of a repair.
type repaired struct {
	repair.Report
	Replaced bool   `json:"replaced"`
	Kept     string `json:"damaged_files,omitempty"` // the directory of the damaged files, when they were replaced
}

// repairStore exports what can be read of the store into a new one.
func (a app) repairStore(ctx context.Context, f repairFlags) error {
	if err := a.OnlyHere("a store is repaired where its files are"); err != nil {
		return err
	}
	dir, err := filepath.Abs(a.DataDirectory())
	if err != nil {
		return err
	}
	path := filepath.Join(dir, doctor.StoreFile)
	output := f.output
	if output == "" {
		output = path + ".repaired"
	}
	if output, err = filepath.Abs(output); err != nil {
		return err
	}
	bar := a.NewBar()
	defer bar.End()
	report, err := repair.Run(ctx, repair.Config{Path: path, Output: output, Progress: func(step string, n, of int64) {
		bar.Show(wire.Progress{Step: step, Done: n, Total: of})
	}})
	bar.End()
	if err != nil {
		return err
	}
	answer := repaired{Report: report}
	if f.replace {
		answer.Replaced, answer.Kept = true, repair.Aside(path, time.Now())
		if err := a.change("store-repair", path, nil, func() (any, string, error) {
			return nil, path, repair.Replace(path, output, answer.Kept)
		}); err != nil {
			return fmt.Errorf("%w (the new store is %s)", err, output)
		}
		answer.Output = path
	}
	if err := command.Show(a.Env, answer, a.printRepair); err != nil {
		return err
	}
	if !report.Lossless() {
		return command.NewExitError(errors.New("the store is repaired, with losses"), exitLosses)
	}
	return nil
}

func (a app) printRepair(r repaired) error {
	if err := a.Print("%s read: %s, %d damaged\n\n", r.Path, console.Count(int(r.Pages), "page"), r.Damaged); err != nil {
		return err
	}
	if err := console.Table(a.Console, "EXPORTED\tENTRIES", r.Exported, func(c repair.Count) console.Cells {
		return console.Cells{c.Table, c.Entries}
	}); err != nil {
		return err
	}
	lines := []string{""}
	if r.Lossless() {
		lines = append(lines, "Nothing is lost.")
	}
	for _, lost := range r.Lost {
		lines = append(lines, "lost: "+lost.Detail)
	}
	for _, text := range r.Doubtful {
		lines = append(lines, "doubtful: "+text)
	}
	for _, h := range r.Handlers {
		lines = append(lines, fmt.Sprintf("handler %s continues after event %d: %s", h.Handler, h.Cursor, h.Reason))
	}
	lines = append(lines, fmt.Sprintf("New events get Seqs from %d on.", r.Last+1), "")
	if r.Replaced {
		lines = append(lines, "The new store is in place: berth serve starts with it.", "The damaged files are in "+r.Kept)
	} else {
		lines = append(lines, fmt.Sprintf("The new store is %s; it has passed a check. The damaged files are unchanged.", r.Output))
		if r.Damaged == 0 && r.Lossless() && len(r.Doubtful) == 0 {
			lines = append(lines, "There is no damaged page: keep the store as it is, unless berth doctor finds a problem in it.")
		}
		lines = append(lines, "To use it, while no host runs:")
		lines = append(lines, serviceCommands(r.Path, r.Output, repair.Aside(r.Path, time.Now()))...)
	}
	for _, line := range lines {
		if err := a.Print("%s\n", line); err != nil {
			return err
		}
	}
	return nil
}

// serviceCommands are the commands that put a repaired store in the place of the damaged one:
// the WAL moves first, because SQLite would apply it to another data file. The damaged files
// go into the new directory aside, so that no command overwrites those of an earlier repair.
func serviceCommands(path, output, aside string) []string {
	list := []string{"  mkdir -m 700 " + quoted(aside)}
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if _, err := os.Lstat(path + suffix); err == nil {
			list = append(list, fmt.Sprintf("  mv %s %s/", quoted(path+suffix), quoted(aside)))
		}
	}
	return append(list, fmt.Sprintf("  mv %s %s", quoted(output), quoted(path)))
}

// quoted quotes a path for a shell, if it needs it.
func quoted(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
