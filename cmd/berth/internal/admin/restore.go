package admin

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/backup"
	"github.com/berth-host/berth/host/doctor"
)

// RestoreCommand returns the command restore.
func RestoreCommand(env *command.Env) *cobra.Command {
	a := app{env}
	cmd := command.New("restore FILE DIR", "Make a data directory of a backup", func(ctx context.Context, args []string) error {
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		bar := a.NewBar()
		defer bar.End()
		restored, err := backup.Restore(ctx, &progress{from: f, bar: bar, total: info.Size()}, args[1], doctor.StoreFile)
		if err != nil {
			return err
		}
		bar.End()
		return command.Show(a.Env, restored, func(r backup.Restored) error { return a.printRestored(args[1], r) })
	})
	cmd.Long = `Makes the data directory DIR, which must be missing or empty, of a backup that
'berth backup' has written. It checks every byte of FILE and the whole store first:
when anything is wrong, there is no DIR. It needs no host.

A host with DIR continues where the backup was made: plugins, positions, dead
letters, stored values, orders and history are as they were. Events that were
handled after the backup are handled again when their producers send them again.`
	cmd.Example = "  berth restore berth.tar data\n  berth serve --config data/event_handlers.yaml --data-dir data"
	cmd.Flags().BoolVar(&a.JSON, "json", false, "print the manifest of the backup as JSON")
	return cmd
}

// printRestored says what there is, and what the operator has to do.
func (a app) printRestored(dir string, m backup.Restored) error {
	config := ""
	for _, f := range m.Files {
		if f.Name == backup.ConfigName {
			config = " --config " + filepath.Join(dir, backup.ConfigName)
		}
	}
	lines := []string{"Start it with: berth serve" + config + " --data-dir " + dir,
		"The first start makes a new admin token; all other tokens are valid as before."}
	if config == "" {
		lines = append(lines, "The backup has no configuration: name yours with --config.")
	}
	for _, w := range m.Watched {
		lines = append(lines, fmt.Sprintf("The plugin files of the directory %q are in %s: copy them back, or name that one in plugin_directories.",
			w.Path, filepath.Join(dir, w.Files)))
	}
	if left := slices.DeleteFunc(slices.Clone(m.Excluded), func(name string) bool { return name == auth.TokenFile }); len(left) > 0 {
		lines = append(lines, "Not in the backup: "+strings.Join(left, ", ")+". Put secrets and keys back yourself.")
	}
	for _, r := range m.Unreadable {
		lines = append(lines, fmt.Sprintf("The events %d to %d could not be read when the backup was made: see 'berth events skip'.", r.From, r.To))
	}
	for _, text := range m.Outcomes {
		lines = append(lines, "Damaged when the backup was made: "+text)
	}
	err := a.Print("restored  %s\nstore     up to event %d, as of %s, by Berth %s\n\n", dir, m.Store.Seq, m.CreatedAt.Format(time.RFC3339), m.Berth)
	for _, line := range lines {
		if err == nil {
			err = a.Print("%s\n", line)
		}
	}
	return err
}
