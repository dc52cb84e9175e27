package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/host"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/wire"
)

func (a *app) configCommand() *cobra.Command {
	return group("config", "Check, show and reload configurations", a.configCheck(), a.configShow(), a.configReload())
}

func (a *app) configCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration: exit code 0, or 1 with every problem",
		Long: `Checks a configuration as a start would: its keys, values and conditions. What a
handler's config must be is in its plugin, and is checked by the host.`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			path := host.DefaultConfigPath
			if len(args) > 0 {
				path = args[0]
			}
			_, err := host.ReadConfig(path)
			if a.json {
				answer := struct {
					Valid  bool               `json:"valid"`
					Errors []wire.ErrorDetail `json:"errors"`
				}{err == nil, []wire.ErrorDetail{}}
				var e *config.Error
				switch {
				case errors.As(err, &e):
					answer.Errors = e.Details()
				case err != nil:
					return err
				}
				if err := a.encodeJSON(answer, false); err != nil || answer.Valid {
					return err
				}
				return fmt.Errorf("%s has %d problems", path, len(answer.Errors))
			}
			if err == nil {
				err = a.print("%s is valid\n", path)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&a.json, "json", false, "print the problems as JSON")
	return cmd
}

func (a *app) configShow() *cobra.Command {
	var path, handler string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the settings in force with a configuration, defaults included",
		Long: `Shows every setting with its value, one a line, as reloads name them: what the
file says and what holds where it says nothing. With --handler it shows what one
handler runs with; what its manifest asks for comes on top of that. A handler's
config may hold what is not for everybody's eyes: only its keys are shown.`,
		Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			named := path != ""
			if !named {
				path = host.DefaultConfigPath
			}
			c, err := host.ReadConfig(path)
			switch {
			case err != nil && (named || !errors.Is(err, fs.ErrNotExist)):
				return err
			case err != nil:
				c = config.Default()
			}
			settings := config.Settings(c)
			if handler != "" {
				settings = config.SettingsOf(c, handler)
			}
			if a.json {
				all := make(map[string]string, len(settings))
				for _, s := range settings {
					all[s.Path] = s.Value
				}
				return a.encodeJSON(all, false)
			}
			for _, s := range settings {
				if err := a.print("%s: %s\n", s.Path, s.Value); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "configuration file (default: "+host.DefaultConfigPath+")")
	cmd.Flags().StringVar(&handler, "handler", "", "show what this handler runs with")
	cmd.Flags().BoolVar(&a.json, "json", false, "print one JSON object")
	return cmd
}

func (a *app) configReload() *cobra.Command {
	return a.talks(&cobra.Command{
		Use:   "reload",
		Short: "Have the host read its configuration again, and show what changed",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fetch(cmd.Context(), a, "POST", "/api/v1/events/reload-config", nil, func(r wire.ReloadResult) error {
				lines := r.Changed
				if len(lines) == 0 {
					lines = []string{"nothing has changed"}
					for _, path := range r.NeedsRestart {
						lines = append(lines, path+": the file's value counts from the next start on")
					}
				}
				for _, line := range lines {
					if err := a.print("%s\n", line); err != nil {
						return err
					}
				}
				return nil
			})
		},
	})
}
