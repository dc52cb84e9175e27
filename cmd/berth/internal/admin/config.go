// Package admin has the commands for operators: the configuration, tokens, the audit log and
// the doctor.
package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/wire"
)

type app struct{ *command.Env }

// ConfigCommand returns the command config.
func ConfigCommand(env *command.Env) *cobra.Command {
	a := app{env}
	return command.Group("config", "Check, show, compare, change and reload configurations", a.checkConfig(), a.showConfig(), a.diffConfig(), a.planConfig(), a.getHandlerConfig(),
		a.setHandlerConfig(), a.reloadConfig(), a.adoptConfig())
}

func (a app) checkConfig() *cobra.Command {
	cmd := command.New("check [FILE]", "Check a configuration: exit code 0, or 1 with every problem",
		func(_ context.Context, args []string) error {
			path := live.DefaultPath
			if len(args) > 0 {
				path = args[0]
			}
			_, err := live.Read(path)
			if a.JSON {
				answer := struct {
					Valid  bool               `json:"valid"`
					Errors []wire.ErrorDetail `json:"errors"`
				}{err == nil, []wire.ErrorDetail{}}
				var e *document.Error
				switch {
				case errors.As(err, &e):
					answer.Errors = e.Details()
				case err != nil:
					return err
				}
				if err := a.EncodeJSON(answer, false); err != nil || answer.Valid {
					return err
				}
				return fmt.Errorf("%s has %d problems", path, len(answer.Errors))
			}
			if err == nil {
				err = a.Print("%s is valid\n", path)
			}
			return err
		})
	cmd.Long = `Checks a configuration as a start would: its keys, values and conditions. What a
handler's config must be is in its plugin, and is checked by the host.`
	cmd.Flags().BoolVar(&a.JSON, "json", false, "print the problems as JSON")
	return cmd
}

func (a app) showConfig() *cobra.Command {
	var path, handler string
	cmd := a.Remote("show", "Show the settings that are in force in the running host", func(ctx context.Context, _ []string) error {
		if path != "" {
			return a.showFile(path, handler)
		}
		return command.Fetch(ctx, a.Env, "GET", command.Path("/api/v1/config", "handler", handler), nil, a.printSettings)
	})
	cmd.Long = `Shows every setting with which the host runs, one a line, as reloads name them:
what its file says and what holds where that says nothing. What only a start can
change is as at the start. With --handler it shows what one handler runs with, its
manifest's wishes included. A handler's config may contain secrets: only its keys are
shown.

With --file no host is asked: it shows what a host would start with.`
	cmd.Example = "  berth config show\n  berth config show --handler fraud-check\n  berth config show --file config/event_handlers.yaml"
	cmd.Flags().StringVar(&path, "file", "", "show this configuration file instead")
	cmd.Flags().StringVar(&path, "config", "", "the same as --file")
	cmd.Flags().StringVar(&handler, "handler", "", "show what this handler runs with")
	cmd.MarkFlagsMutuallyExclusive("file", "config")
	return cmd
}

// showFile shows the settings of a configuration file.
func (a app) showFile(path, handler string) error {
	c, err := live.Read(path)
	if err != nil {
		return err
	}
	settings := config.Settings(c)
	if handler != "" {
		settings = config.SettingsOf(c, handler, abi.Manifest{})
		if _, configured := c.Handlers[handler]; !configured {
			a.Note("no handler %s is configured in %s: an installed one runs with these defaults and what its manifest requests\n", handler, path)
		}
	}
	answer := wire.Settings{File: path, Items: settings, NeedsRestart: []string{}}
	return command.Show(a.Env, answer, a.printSettings)
}

func (a app) printSettings(s wire.Settings) error {
	for _, one := range s.Items {
		from := ""
		if one.Source != "" {
			from = "   # from the " + one.Source
		}
		if err := a.Print("%s: %s%s\n", one.Path, one.Value, from); err != nil {
			return err
		}
	}
	for _, path := range s.NeedsRestart {
		a.Note("%s: the file %s says otherwise; that counts from the next start on\n", path, s.File)
	}
	return nil
}

func (a app) diffConfig() *cobra.Command {
	cmd := a.Remote("diff", "Show what a reload would change", func(ctx context.Context, _ []string) error {
		return command.Fetch(ctx, a.Env, "GET", "/api/v1/config/file", nil, func(f wire.ConfigFile) error {
			lines := f.Changed
			for _, e := range f.Errors {
				lines = append(lines, e.String())
			}
			if len(lines) == 0 {
				lines = []string{"nothing: " + f.Path + " is in force"}
			}
			for _, path := range f.NeedsRestart {
				lines = append(lines, path+": the file's value counts from the next start on")
			}
			for _, line := range lines {
				if err := a.Print("%s\n", line); err != nil {
					return err
				}
			}
			if len(f.Errors) > 0 {
				return fmt.Errorf("a reload would refuse %s", f.Path)
			}
			return nil
		})
	})
	cmd.Long = `Compares the host's configuration file as it is now with what is in force: one line
for each setting that a reload would change, or each error for which it would refuse
the file. It changes nothing. It needs a token of the scope operate; with --json the
answer has the text of the file.`
	return cmd
}

func (a app) reloadConfig() *cobra.Command {
	return a.Remote("reload", "Have the host read its configuration again, and show what changed",
		func(ctx context.Context, _ []string) error {
			return command.Fetch(ctx, a.Env, "POST", "/api/v1/events/reload-config", nil, func(r wire.ReloadResult) error {
				lines := r.Changed
				if len(lines) == 0 {
					lines = []string{"nothing has changed"}
					for _, path := range r.NeedsRestart {
						lines = append(lines, path+": the file's value counts from the next start on")
					}
				}
				for _, line := range lines {
					if err := a.Print("%s\n", line); err != nil {
						return err
					}
				}
				return nil
			})
		})
}

func (a app) adoptConfig() *cobra.Command {
	var keep bool
	cmd := a.Remote("adopt", "Print what a cluster's hosts have decided about handlers as YAML, and let their files decide again",
		func(ctx context.Context, _ []string) error {
			return command.Fetch(ctx, a.Env, "POST", "/api/v1/config/adopt", wire.Adopt{Keep: keep}, func(r wire.Adopted) error {
				switch {
				case r.YAML == "":
					a.Note("nothing is decided in the database\n")
				case len(r.Cleared) > 0:
					a.Note("removed from the database, so that the files of the hosts decide: %s\n", strings.Join(r.Cleared, ", "))
				}
				return a.Print("%s", r.YAML)
			})
		})
	cmd.Long = `Prints the decisions that came by the API of the hosts that share a database:
enabling, pausing, approving and configuring handlers. Then it removes them, so that
the files of the hosts decide again. Print them first with --keep, put them into the
files of all hosts, and run the command again without it.`
	cmd.Example = "  berth config adopt --keep > decisions.yaml\n  berth config adopt"
	cmd.Flags().BoolVar(&keep, "keep", false, "print only; the decisions stay in force")
	return cmd
}
