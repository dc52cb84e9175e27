package main

import (
	"context"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// hurried bounds what a shell waits for while somebody types. A host that does
// not answer in time, or none at all, completes nothing and says nothing.
const hurried = time.Second

func (a *app) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a shell's completion script",
		Long: `Prints a script that has a shell complete berth's commands, flags, and what the
running host knows: names of plugins, event types, ids of orders and dead letters.`,
		Example: "  source <(berth completion bash)\n" +
			"  berth completion zsh > \"${fpath[1]}/_berth\"\n" +
			"  berth completion fish > ~/.config/fish/completions/berth.fish",
		Args:      usage(cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				if err := root.GenBashCompletionV2(a.stdout, true); err != nil {
					return err
				}
				_, err := io.WriteString(a.stdout, bareBash)
				return err
			case "zsh":
				return root.GenZshCompletion(a.stdout)
			default:
				return root.GenFishCompletion(a.stdout, true)
			}
		},
	}
}

// bareBash takes the place of what cobra's script has from the package
// bash-completion, where that is not loaded: the words of the command line, of which
// = and : are no ends.
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

// words lists what may stand at a place of a command line.
type words func(ctx context.Context) []string

// addCompletions says what stands at which place of which command.
func (a *app) addCompletions(root *cobra.Command) {
	plugins, types, deadEvents, orders := words(a.pluginNames), words(a.eventTypes), words(a.deadEvents), words(a.orderIDs)
	statuses := fixed("pending", "confirmed", "processing", "shipped", "delivered", "cancelled", "refunded")
	for path, args := range map[string][]words{
		"plugin show": {plugins}, "plugin wait": {plugins}, "plugin enable": {plugins}, "plugin disable": {plugins}, "plugin pause": {plugins}, "plugin resume": {plugins},
		"plugin approve": {plugins}, "plugin report": {plugins}, "plugin upgrade": {plugins}, "plugin rollback": {plugins}, "plugin uninstall": {plugins},
		"events emit": {types}, "events dead-deadEvents show": {deadEvents},
		"orders show": {orders}, "orders move": {orders, statuses},
		"token revoke": {a.tokenIDs},
	} {
		command(root, path).ValidArgsFunction = func(cmd *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(given) >= len(args) {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return completed(cmd, args[len(given)], typed)
		}
	}
	var failures []string
	for _, c := range []event.Class{event.ClassTimeout, event.ClassFuel, event.ClassTrap, event.ClassMemory, event.ClassStack, event.ClassExit,
		event.ClassBadResult, event.ClassRejected, event.ClassRetry, event.ClassConflict} {
		failures = append(failures, string(c))
	}
	classes := fixed(failures...)
	for path, flags := range map[string]map[string]words{
		"events list":                    {"type": types},
		"events replay":                  {"plugin": plugins, "from": fixed("earliest"), "to": nil},
		"events dead-deadEvents list":    {"plugin": plugins, "event": deadEvents, "type": types, "class": classes},
		"events dead-letters show":       {"plugin": plugins},
		"events dead-deadEvents redrive": {"plugin": plugins, "event": deadEvents, "type": types, "class": classes},
		"events dead-deadEvents purge":   {"plugin": plugins, "event": deadEvents, "type": types, "class": classes},
		"orders list":                    {"status": statuses},
		"config show":                    {"handler": plugins},
		"token create":                   {"scope": fixed(auth.Scopes()...)},
	} {
		cmd := command(root, path)
		for flag, list := range flags {
			_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
				return completed(cmd, list, typed)
			}) // its error is a name misspelt above
		}
	}
}

// command finds a command that is there.
func command(root *cobra.Command, path string) *cobra.Command {
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
		if strings.HasPrefix(word, typed) && word == line(word) && !strings.Contains(word, " ") {
			fit = append(fit, word)
		}
	}
	slices.Sort(fit)
	return slices.Compact(fit), cobra.ShellCompDirectiveNoFileComp
}

func fixed(list ...string) words { return func(context.Context) []string { return list } }

// known asks the host for a list; none on any failure.
func known[T any](ctx context.Context, a *app, path string) []T {
	a.timeout = hurried
	c, err := a.connect()
	if err != nil {
		return nil
	}
	var list wire.List[T]
	if _, err := c.call(ctx, "GET", path, nil, &list); err != nil {
		return nil
	}
	return list.Items
}

func (a *app) pluginNames(ctx context.Context) (names []string) {
	for _, p := range known[wire.Plugin](ctx, a, "/api/v1/events/plugins") {
		names = append(names, p.Name)
	}
	return names
}

// eventTypes are those that plugins name in their subscriptions.
func (a *app) eventTypes(ctx context.Context) (types []string) {
	for _, p := range known[wire.Plugin](ctx, a, "/api/v1/events/plugins") {
		for _, t := range p.Subscribes {
			if !strings.Contains(t, "*") {
				types = append(types, t)
			}
		}
	}
	return types
}

func (a *app) deadEvents(ctx context.Context) (ids []string) {
	for _, d := range known[wire.DeadLetter](ctx, a, "/api/v1/events/dead-letters?"+url.Values{"limit": {"50"}}.Encode()) {
		ids = append(ids, d.EventID)
	}
	return ids
}

func (a *app) orderIDs(ctx context.Context) (ids []string) {
	for _, o := range known[wire.Order](ctx, a, "/api/v1/orders?"+url.Values{"limit": {"50"}}.Encode()) {
		ids = append(ids, o.ID)
	}
	return ids
}

func (a *app) tokenIDs(context.Context) (ids []string) {
	list, err := auth.List(a.dataDirectory())
	if err != nil {
		return nil
	}
	for _, t := range list {
		ids = append(ids, t.ID)
	}
	return ids
}
