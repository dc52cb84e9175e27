package events

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

const deadLettersPath = path + "/dead-letters"

func (a app) deadLetters() *cobra.Command {
	return command.Group("dead-letters", "See, redrive and purge the events that handlers have given up on",
		a.deadLettersList(), a.deadLettersShow(), a.redrive(), a.purge())
}

// deadLetterFlags adds the flags of a filter.
func deadLetterFlags(cmd *cobra.Command, f *wire.DeadLetterFilter) {
	cmd.Flags().StringVar(&f.Plugin, "plugin", "", "only this plugin's, or those of one shard (enrich/3)")
	cmd.Flags().StringVar(&f.EventID, "event", "", "only those of the event with this id")
	cmd.Flags().StringVar(&f.EventType, "type", "", "only events of this type")
	cmd.Flags().StringVar(&f.Subject, "subject", "", "only events with this subject")
	cmd.Flags().StringVar(&f.Class, "class", "", "only those whose last error is of this class, such as timeout or trap")
	cmd.Flags().StringVar(&f.Since, "since", "", "dead since then: a time (2026-05-01T10:00:00Z), or back from now (1h, 7d)")
	cmd.Flags().StringVar(&f.Until, "until", "", "dead before then")
}

// deadLetterFilter converts the times of a filter to RFC 3339, as the API takes them.
func deadLetterFilter(f wire.DeadLetterFilter, now time.Time) (wire.DeadLetterFilter, error) {
	for _, at := range []struct {
		flag string
		text *string
	}{{"--since", &f.Since}, {"--until", &f.Until}} {
		if *at.text == "" {
			continue
		}
		p, err := event.ParsePosition(*at.text)
		if err != nil {
			return f, command.Usage("%s: %w", at.flag, err)
		}
		t, ok := p.When(now)
		if !ok {
			return f, command.Usage("%s must be a time, or a duration back from now", at.flag)
		}
		*at.text = t.UTC().Format(time.RFC3339Nano)
	}
	return f, nil
}

// parameters returns a filter as the parameters of a query.
func parameters(f wire.DeadLetterFilter) []string {
	return []string{"plugin", f.Plugin, "event_id", f.EventID, "event_type", f.EventType, "subject", f.Subject, "class", f.Class, "since",
		f.Since, "until", f.Until}
}

func (a app) deadLettersList() *cobra.Command {
	var filter wire.DeadLetterFilter
	var page command.Paging
	cmd := a.Remote("list", "List dead letters, latest event first", func(ctx context.Context, _ []string) error {
		f, err := deadLetterFilter(filter, time.Now())
		if err != nil {
			return err
		}
		at := page.Path(deadLettersPath, parameters(f)...)
		return command.Fetch(ctx, a.Env, "GET", at, nil, func(list wire.List[wire.DeadLetter]) error {
			return console.Page(a.Console, "SEQ\tEVENT ID\tPLUGIN\tTYPE\tSUBJECT\tREASON\tATTEMPTS\tDIED\tERROR", list,
				func(d wire.DeadLetter) console.Cells {
					return console.Cells{d.Seq, d.EventID, d.Unit(), d.EventType, d.Subject, d.Reason,
						d.Attempts, console.Clock(d.At), failure(d.Error)}
				})
		})
	})
	deadLetterFlags(cmd, &filter)
	page.Flags(cmd, 50)
	return cmd
}

// failure returns the class of an error and the first line of its message.
func failure(e *wire.DeliveryError) string {
	if e == nil {
		return "-"
	}
	return e.Class + ": " + event.Headline(e.Message, 500)
}

func (a app) deadLettersShow() *cobra.Command {
	var plugin string
	cmd := a.Remote("show EVENT-ID", "Show an event's dead letters, with the event", func(ctx context.Context, args []string) error {
		c, err := a.Connect()
		if err != nil {
			return err
		}
		id, err := findEvent(ctx, c, args[0], false)
		if err != nil {
			return err
		}
		at := command.Path(deadLettersPath+"/"+id, "plugin", plugin)
		return command.FetchBy(ctx, a.Env, c, "GET", at, nil, func(list wire.List[wire.DeadLetter]) error {
			for i, d := range list.Items {
				if i > 0 {
					a.Print("\n")
				}
				a.Print("plugin     %s\nevent      %s (%d)\ntype       %s\nsubject    %s\nkey        %s\nreason     %s after %d "+
					"attempts\npublished  %s\nfirst try  %s\ndied       %s\n",
					d.Unit(), d.EventID, d.Seq, d.EventType, d.Subject, d.IdempotencyKey, d.Reason, d.Attempts,
					console.Clock(d.PublishedAt), console.ClockOr(d.FirstAttemptAt), console.Clock(d.At))
				if d.Error != nil {
					a.Print("error      %s: %s\n", d.Error.Class, console.Lines(d.Error.Message))
				}
				if d.Event != nil {
					a.Print("envelope   %s\n", string(d.Event))
				}
			}
			return nil
		}, func(list wire.List[wire.DeadLetter]) error {
			for _, d := range list.Items {
				if d.IdempotencyKey != args[0] {
					if err := client.About("event", d.EventID, args[0]); err != nil {
						return err
					}
				}
			}
			return nil
		})
	})
	cmd.Flags().StringVar(&plugin, "plugin", "", "only this plugin's")
	return cmd
}

func (a app) redrive() *cobra.Command {
	return changeDeadLetters(a, deadLetterChange{
		verb: "redrive", short: "Deliver dead letters to their handlers again", question: "Deliver %s again?",
		example: "  berth events dead-letters redrive --plugin fraud-check --class timeout --since 2h",
	}, func(n wire.Redriven) int { return n.Redriven }, "on the way again")
}

func (a app) purge() *cobra.Command {
	return changeDeadLetters(a, deadLetterChange{
		verb: "purge", short: "Remove dead letters permanently", question: "Remove %s permanently?",
		note:    "\nWithout a terminal --yes is required: this cannot be undone.",
		example: "  berth events dead-letters purge --plugin fraud-check --until 30d", final: true,
	}, func(n wire.Purged) int { return n.Purged }, "removed")
}

// deadLetterChange describes a command that changes dead letters.
type deadLetterChange struct {
	verb, short, question, note, example string

	final bool // it cannot be undone: without a terminal, --yes is required
}

// maxCounted bounds the counting before a question.
const maxCounted = 10_000

// changeDeadLetters returns a command that changes dead letters. T is the API's answer; count
// returns the number in it. A person is asked before more than one is changed.
func changeDeadLetters[T any](a app, what deadLetterChange, count func(T) int, done string) *cobra.Command {
	var filter wire.DeadLetterFilter
	var yes bool
	cmd := a.Remote(what.verb+" (--plugin NAME | --event ID)", what.short, func(ctx context.Context, _ []string) error {
		f, err := deadLetterFilter(filter, time.Now())
		if err != nil {
			return err
		}
		if f.Plugin == "" && f.EventID == "" {
			return command.Usage("give --plugin or --event: whose dead letters, or those of which event")
		}
		if !yes && (a.Interactive() || what.final) {
			n, err := a.countDeadLetters(ctx, f)
			if err == nil && n != "" {
				err = a.Confirm(fmt.Sprintf(what.question, n+" dead letters"), "nothing was changed: answer y at a terminal, or give --yes")
			}
			if err != nil {
				return err
			}
		}
		return command.Fetch(ctx, a.Env, "POST", deadLettersPath+"/"+what.verb, f, func(answer T) error {
			return a.Print("%s %s\n", console.Count(count(answer), "dead letter"), done)
		})
	})
	cmd.Long = what.short + `: all to which every flag that is given applies.
More than one at a terminal are counted first and asked about, unless --yes is given.` + what.note
	cmd.Example = what.example
	deadLetterFlags(cmd, &filter)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// countDeadLetters returns how many dead letters a filter selects; "" for at most one.
func (a app) countDeadLetters(ctx context.Context, f wire.DeadLetterFilter) (string, error) {
	c, err := a.Connect()
	if err != nil {
		return "", err
	}
	n := 0
	for cursor := ""; ; {
		var page wire.List[wire.DeadLetter]
		if _, err := c.Call(ctx, "GET", command.Path(deadLettersPath, append(parameters(f), "limit", "500", "cursor", cursor)...), nil,
			&page); err != nil {
			return "", err
		}
		n += len(page.Items)
		switch {
		case page.Next != nil && n < maxCounted:
			cursor = *page.Next
		case page.Next != nil:
			return fmt.Sprintf("more than %d", n), nil
		case n > 1:
			return strconv.Itoa(n), nil
		default:
			return "", nil
		}
	}
}
