// Package completion completes command lines: commands, flags, and names that the host knows.
package completion

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/toolchain"
	"github.com/berth-host/berth/host/wire"
)

// hurried bounds the time of a completion. A host that does not answer in time completes
// nothing.
const hurried = time.Second

const pluginsPath = "/api/v1/events/plugins"

type app struct{ *command.Env }

// Command returns the command completion.
func Command(env *command.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a shell's completion script",
		Long: `Prints a script that has a shell complete berth's commands, flags, and what the
running host knows: names of plugins, event types, ids of orders and dead letters.`,
		Example: "  source <(berth completion bash)\n" +
			"  berth completion zsh > \"${fpath[1]}/_berth\"\n" +
			"  berth completion fish > ~/.config/fish/completions/berth.fish",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				if err := root.GenBashCompletionV2(env.Out, true); err != nil {
					return err
				}
				_, err := io.WriteString(env.Out, bareBash)
				return err
			case "zsh":
				return root.GenZshCompletion(env.Out)
			default:
				return root.GenFishCompletion(env.Out, true)
			}
		},
	}
}

// bareBash replaces a function of the package bash-completion, which cobra's script needs,
// where that is not loaded: it returns the words of the command line, which = and : do not
// separate.
const bareBash = `
if ! declare -F _get_comp_words_by_ref >/dev/null 2>&1; then
    __berth_init_completion()
    {
        local line=${COMP_LINE} n=-1 i word gap
        COMPREPLY=()
        words=()
        cword=0
        for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
            word=${COMP_WORDS[i]}
            gap=${line%%[![:space:]]*}
            line=${line#"$gap"}
            line=${line#"$word"}
            if [[ $n -ge 0 && -z $gap && ( $word == [=:]* || ${words[n]} == *[=:] ) ]]; then
                words[n]=${words[n]}$word
            else
                n=$((n + 1))
                words[n]=$word
            fi
            if [[ $i -eq $COMP_CWORD ]]; then
                cword=$n
            fi
        done
        cur=${words[cword]}
        prev=
        if [[ $cword -gt 0 ]]; then
            prev=${words[cword - 1]}
        fi
    }
fi
`

// words returns the candidates at a position of a command line.
type words func(ctx context.Context) []string

// Add adds the completions of arguments and flags to the commands below root.
func Add(env *command.Env, root *cobra.Command) {
	a := app{env}
	types := words(a.eventTypes)
	plugins := names(a, pluginsPath, func(p wire.Plugin) string { return p.Name })
	deadEvents := names(a, "/api/v1/events/dead-letters?limit=50", func(d wire.DeadLetter) string { return d.EventID })
	orders := names(a, "/api/v1/orders?limit=50", func(o wire.Order) string { return o.ID })
	statuses := fixed("pending", "confirmed", "processing", "shipped", "delivered", "cancelled", "refunded")
	for path, args := range map[string][]words{
		"plugin show": {plugins}, "plugin wait": {plugins}, "plugin enable": {plugins}, "plugin disable": {plugins}, "plugin pause": {plugins},
		"plugin resume":  {plugins},
		"plugin approve": {plugins}, "plugin report": {plugins}, "plugin upgrade": {plugins}, "plugin rollback": {plugins},
		"plugin uninstall": {plugins},
		"events emit":      {types}, "events dead-letters show": {deadEvents},
		"kv list": {plugins}, "kv get": {plugins}, "kv set": {plugins}, "kv delete": {plugins},
		"orders show": {orders}, "orders move": {orders, statuses},
		"token revoke": {a.tokenIDs},
	} {
		find(root, path).ValidArgsFunction = func(cmd *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(given) >= len(args) {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return completed(cmd, args[len(given)], typed)
		}
	}
	languages := fixed(toolchain.Names()...)
	classes := fixed(event.FailureClasses()...)
	for path, flags := range map[string]map[string]words{
		"events list":                 {"type": types},
		"events replay":               {"plugin": plugins, "from": fixed("earliest"), "to": nil},
		"events dead-letters list":    {"plugin": plugins, "event": deadEvents, "type": types, "class": classes},
		"events dead-letters show":    {"plugin": plugins},
		"events dead-letters redrive": {"plugin": plugins, "event": deadEvents, "type": types, "class": classes},
		"events dead-letters purge":   {"plugin": plugins, "event": deadEvents, "type": types, "class": classes},
		"orders list":                 {"status": statuses},
		"config show":                 {"handler": plugins},
		"token create":                {"scope": fixed(spec.Scopes()...)},
		"plugin new":                  {"lang": languages},
		"plugin build":                {"lang": languages},
		"plugin pack":                 {"lang": languages},
		"plugin dev":                  {"lang": languages},
	} {
		cmd := find(root, path)
		for flag, list := range flags {
			_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
				return completed(cmd, list, typed)
			}) // its error is a name misspelt above
		}
	}
}

// find finds a command that is there.
func find(root *cobra.Command, path string) *cobra.Command {
	cmd, _, _ := root.Find(strings.Fields(path)) // of a name misspelt above it is the group
	return cmd
}

func completed(cmd *cobra.Command, list words, typed string) ([]string, cobra.ShellCompDirective) {
	if list == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), hurried)
	defer cancel()
	var fit []string
	for _, word := range list(ctx) {
		if strings.HasPrefix(word, typed) && word == console.Line(word) && !strings.Contains(word, " ") {
			fit = append(fit, word)
		}
	}
	slices.Sort(fit)
	return slices.Compact(fit), cobra.ShellCompDirectiveNoFileComp
}

func fixed(list ...string) words { return func(context.Context) []string { return list } }

// known asks the host for a list; it returns none on any failure.
func known[T any](ctx context.Context, a app, path string) []T {
	c, err := a.ConnectTo(os.Getenv("BERTH_URL"), hurried)
	if err != nil {
		return nil
	}
	var list wire.List[T]
	if _, err := c.Call(ctx, "GET", path, nil, &list); err != nil {
		return nil
	}
	return list.Items
}

// names returns one text of each item of a list of the host.
func names[T any](a app, path string, name func(T) string) words {
	return func(ctx context.Context) (list []string) {
		for _, item := range known[T](ctx, a, path) {
			list = append(list, name(item))
		}
		return list
	}
}

// eventTypes returns the event types in the subscriptions of the plugins.
func (a app) eventTypes(ctx context.Context) (types []string) {
	for _, p := range known[wire.Plugin](ctx, a, pluginsPath) {
		for _, t := range p.Subscribes {
			if !strings.Contains(t, "*") {
				types = append(types, t)
			}
		}
	}
	return types
}

func (a app) tokenIDs(context.Context) (ids []string) {
	list, err := auth.List(a.DataDirectory())
	if err != nil {
		return nil
	}
	for _, t := range list {
		ids = append(ids, t.ID)
	}
	return ids
}
