package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/wire"
)

// act calls an action of the event with this id or key.
func act[T any](ctx context.Context, a app, text, action string, body any, show func(T) error, checks ...func(T, string) error) error {
	c, err := a.Connect()
	if err != nil {
		return err
	}
	id, err := findEvent(ctx, c, text, false)
	if err != nil {
		return err
	}
	return command.FetchBy(ctx, a.Env, c, "POST", path+"/"+id+"/"+action, body, show, func(answer T) error {
		for _, check := range checks {
			if err := check(answer, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// aboutEvent checks that an answer is about the event that was asked for.
func aboutEvent(done wire.EventChange, id string) error {
	return client.About("event", done.EventID, id)
}

func (a app) retry() *cobra.Command {
	var in wire.EventRetry
	cmd := a.Remote("retry ID", "Attempt an event's deliveries again now, by event id or idempotency key",
		func(ctx context.Context, args []string) error {
			return act(ctx, a, args[0], "retry", in, func(done wire.EventChange) error {
				return a.Print("event %s goes to %s again now\n", done.EventID, strings.Join(done.Plugins, ", "))
			}, aboutEvent)
		})
	cmd.Long = `Attempt an event's deliveries again now: those that wait for a retry are due, and
dead letters are delivered again. An open breaker lets an event through to try.`
	cmd.Flags().StringVar(&in.Plugin, "plugin", "", "only the delivery to this plugin")
	return cmd
}

func (a app) skip() *cobra.Command {
	var to uint64
	var in wire.EventSkip
	cmd := a.Remote("skip ID|SEQ", "Do not deliver an event to a plugin; or pass over one that cannot be read",
		func(ctx context.Context, args []string) error {
			seq, err := strconv.ParseUint(args[0], 10, 64)
			if isSeq := strings.Trim(args[0], "0123456789") == ""; isSeq {
				switch {
				case err != nil || seq == 0:
					return command.Usage("%q is not a Seq: a number from 1 on, as the plugin's reason and berth doctor show it", args[0])
				case in.Plugin != "" || in.Note != "":
					return command.Usage("%s is a Seq, and an event that cannot be read is skipped for every plugin; name an event for "+
						"--plugin by its id", args[0])
				}
				return a.skipUnreadable(ctx, args[0], wire.Skip{Seq: seq, To: to})
			}
			switch {
			case to != 0:
				return command.Usage("--to is for events that cannot be read, which are named by their Seq")
			case in.Plugin == "":
				return command.Usage("give --plugin: the plugin that is not to get the event")
			}
			return act(ctx, a, args[0], "skip", in, func(done wire.EventChange) error {
				return a.Print("event %s is skipped for %s; it is a dead letter of the class skipped\n", done.EventID, strings.Join(done.Plugins, ", "))
			}, aboutEvent)
		})
	cmd.Long = `With an event's id or idempotency key, and --plugin: the plugin does not get the
event. It becomes a dead letter of the class skipped, which can be redriven, and
later events of its order key go on. An attempt that is under way has to end first.

With a Seq: pass over an event that cannot be read because the store is damaged.
A handler that is stuck at the event continues with the next one, and no handler
gets the event any more. A dead delivery is recorded for every handler that has
not had it. An event that can be read is not skipped. berth doctor lists the
events that cannot.`
	cmd.Example = "  berth events skip order:o-1:v3 --plugin fraud-check --note 'the customer has cancelled'\n  berth events skip 41\n  berth events skip 41 --to 48"
	cmd.Flags().StringVar(&in.Plugin, "plugin", "", "the plugin that is not to get the event")
	cmd.Flags().StringVar(&in.Note, "note", "", "why, for the audit log")
	cmd.Flags().Uint64Var(&to, "to", 0, "the last one of several in a row (default: only SEQ)")
	return cmd
}

// skipUnreadable passes over events that cannot be read. asked is the first Seq as it was
// given.
func (a app) skipUnreadable(ctx context.Context, asked string, in wire.Skip) error {
	return command.Fetch(ctx, a.Env, "POST", path+"/skip", in, func(s wire.Skipped) error {
		whose := "every handler had had it"
		if len(s.Plugins) > 0 {
			whose = "a dead delivery was recorded for " + strings.Join(s.Plugins, ", ")
		}
		what := fmt.Sprintf("event %d is skipped", s.Seq)
		if s.To > s.Seq {
			what = fmt.Sprintf("events %d to %d are skipped", s.Seq, s.To)
		}
		return a.Print("%s; %s\n", what, whose)
	}, func(s wire.Skipped) error { return client.About("event", fmt.Sprint(s.Seq), asked) })
}

func (a app) copyOf() *cobra.Command {
	var in wire.EventCopy
	var data, subject string
	edit := false
	cmd := a.Remote("copy ID", "Publish an edited copy of an event, by event id or idempotency key", func(ctx context.Context, args []string) error {
		text, err := a.dataOf(data)
		if err != nil {
			return err
		}
		c, err := a.Connect()
		if err != nil {
			return err
		}
		id, err := findEvent(ctx, c, args[0], false)
		if err != nil {
			return err
		}
		if edit {
			if len(text) == 0 {
				var ev wire.Event
				if _, err := c.Call(ctx, "GET", path+"/"+id, nil, &ev); err != nil {
					return err
				}
				text = ev.Data
			}
			if text, err = a.edited(ctx, text); err != nil {
				return err
			}
		}
		in.Data = text
		if subject != "" {
			in.Subject = &subject
		}
		return command.FetchBy(ctx, a.Env, c, "POST", path+"/"+id+"/copy", in, func(r wire.Receipt) error {
			err := a.printReceipt(r)
			a.noteUnrouted([]wire.Receipt{r})
			return err
		}, func(r wire.Receipt) error { return client.About("event", r.EventID, r.EventID) })
	})
	cmd.Long = `Publish an edited copy of an event as a new event. It has what the flags say, and
otherwise the type, data, subject, source and correlation id of the event. It goes
to every plugin that takes it, or only to the one that --plugin names. Prints the
id of the copy.`
	cmd.Example = "  berth events copy order:o-1:v3 --edit\n  berth events copy order:o-1:v3 --data @fixed.json --plugin fraud-check"
	cmd.Flags().StringVar(&data, "data", "", "the data as JSON, @FILE, or - for standard input (default: that of the event)")
	cmd.Flags().BoolVar(&edit, "edit", false, "edit the data with $VISUAL or $EDITOR before it is published")
	cmd.Flags().StringVar(&in.EventType, "type", "", "the type (default: that of the event)")
	cmd.Flags().StringVar(&subject, "subject", "", "the subject (default: that of the event)")
	cmd.Flags().StringVar(&in.IdempotencyKey, "key", "", "idempotency key (default: the copy's id)")
	cmd.Flags().StringVar(&in.Plugin, "plugin", "", "only this plugin gets the copy")
	return cmd
}

// dataOf reads the data that a flag names: JSON, @FILE, or - for standard input; nil for "".
func (a app) dataOf(flag string) (json.RawMessage, error) {
	text := []byte(flag)
	if file, isFile := strings.CutPrefix(flag, "@"); isFile || flag == "-" {
		var err error
		if text, err = a.ReadFile(file, maxEvent); err != nil {
			return nil, err
		}
	}
	switch {
	case flag == "":
		return nil, nil
	case !json.Valid(text):
		return nil, command.Usage("--data is not JSON")
	}
	return text, nil
}

// edited returns JSON as a person has changed it in an editor. Text that is not changed, or
// is no JSON afterwards, is an error: nothing is published.
func (a app) edited(ctx context.Context, text json.RawMessage) (_ json.RawMessage, err error) {
	editor := os.Getenv("VISUAL")
	if editor == "" {
		editor = os.Getenv("EDITOR")
	}
	if editor == "" {
		return nil, command.Usage("--edit needs an editor in VISUAL or EDITOR; or give the data with --data")
	}
	dir, err := os.MkdirTemp("", "berth-copy-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := dir + "/data.json"
	before := indented(text)
	if err := os.WriteFile(file, before, 0o600); err != nil {
		return nil, err
	}
	// The variable may have arguments, as in "code --wait", which a shell splits.
	cmd := exec.CommandContext(ctx, "sh", "-c", editor+` "$1"`, "sh", file)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.In, a.Err, a.Err
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("the editor %s: %w; nothing was published", editor, err)
	}
	after, err := a.ReadFile(file, maxEvent)
	switch {
	case err != nil:
		return nil, err
	case string(after) == string(before):
		return nil, errors.New("the data was not changed; nothing was published")
	case !json.Valid(after):
		return nil, errors.New("the edited data is not JSON; nothing was published")
	}
	return after, nil
}

// indented returns JSON over several lines, with a line end.
func indented(text json.RawMessage) []byte {
	out, err := json.MarshalIndent(text, "", "  ")
	if err != nil {
		out = text
	}
	return append(out, '\n')
}
