package plugins

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/toolchain"
)

func (a app) create() *cobra.Command {
	var lang string
	var unbuilt bool
	cmd := command.New("new [NAME] [DIR]", "Make the project of a new plugin, and build it",
		func(ctx context.Context, args []string) error {
			switch {
			case lang == "" && len(args) > 0:
				return command.Usage("give --lang, one of %s", strings.Join(toolchain.Names(), ", "))
			case lang == "":
				return a.listLanguages()
			case len(args) == 0:
				return command.Usage("give the name of the plugin")
			}
			l, err := toolchain.Named(lang)
			if err != nil {
				return command.Usage("--lang: %w", err)
			}
			name, dir := args[0], args[0]
			if len(args) > 1 {
				dir = args[1]
			}
			return a.newProject(ctx, l, name, dir, unbuilt)
		})
	cmd.Long = `Makes a directory (DIR, or NAME) with a small complete handler in the language, its
manifest, events to try it with, and the SDK, and builds it. Without arguments it lists
the languages, and which of their tools are installed here. It needs no running host.`
	cmd.Example = "  berth plugin new\n  berth plugin new --lang go stock-alert"
	languageFlag(cmd, &lang, "the language to write it in")
	cmd.Flags().BoolVar(&unbuilt, "no-build", false, "do not build it: the language's tools need not be installed")
	return cmd
}

func languageFlag(cmd *cobra.Command, lang *string, usage string) {
	cmd.Flags().StringVar(lang, "lang", "", usage+": "+strings.Join(toolchain.Names(), ", "))
}

// listLanguages prints every language, and what of its tools is missing.
func (a app) listLanguages() error {
	var missing []string
	err := console.Table(a.Console, "LANG\tLANGUAGE\tTOOLS\tHERE", toolchain.Languages(), func(l toolchain.Language) console.Cells {
		var tools []string
		for _, tool := range l.Tools {
			tools = append(tools, tool.Name)
		}
		if tools == nil {
			tools = []string{"none"}
		}
		here := "yes"
		if _, err := l.Find(); err != nil {
			here = "no"
			missing = append(missing, l.Name+": "+err.Error())
		}
		return console.Cells{l.Name, l.Title, strings.Join(tools, ", "), here}
	})
	for i, of := range missing {
		if i == 0 {
			a.Print("\n")
		}
		a.Print("%s\n", of)
	}
	if err == nil {
		err = a.Print("\nMake a project with: berth plugin new --lang LANG NAME\n")
	}
	return err
}

func (a app) newProject(ctx context.Context, l toolchain.Language, name, dir string, unbuilt bool) error {
	if !unbuilt {
		if _, err := l.Find(); err != nil {
			return fmt.Errorf("%w\nNothing was made. With --no-build the project is made without these tools", err)
		}
	}
	if err := toolchain.Create(l, name, dir); err != nil {
		return err
	}
	a.Print("project  %s, in %s; begin with %s\n", dir, l.Title, filepath.Join(dir, l.MainFile(name)))
	if unbuilt {
		return a.Print("next     cd %s && berth plugin build\n", dir)
	}
	p, err := toolchain.Open(dir, l.Name)
	if err != nil {
		return err
	}
	if _, err := a.buildProject(ctx, p, p.Output()); err != nil {
		return fmt.Errorf("%w\nThe project is there; after the cause is gone run: berth plugin build %s", err, dir)
	}
	return a.Print("next     cd %s\n         berth plugin test %s.wasm events.jsonl\n         berth plugin add %s.wasm      (to the host on this machine)\n"+
		"         berth plugin dev --replace   (the same at every change)\n", dir, name, name)
}
