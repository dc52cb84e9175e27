package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

const deadLettersPath = "/api/v1/events/dead-letters"

func (a *app) eventsDeadLetters() *cobra.Command {
	return group("dead-letters", "See, redrive and purge the events that handlers have given up on",
		a.deadLettersList(), a.deadLettersShow(), a.deadLettersRedrive(), a.deadLettersPurge())
}

// deadLetterFlags adds a flag for everything dead letters can be chosen by.
func deadLetterFlags(cmd *cobra.Command, f *wire.DeadLetterFilter) {
	cmd.Flags().StringVar(&f.Plugin, "plugin", "", "only this plugin's")
	cmd.Flags().StringVar(&f.EventID, "event", "", "only those of the event with this id")
	cmd.Flags().StringVar(&f.EventType, "type", "", "only events of this type")
	cmd.Flags().StringVar(&f.Subject, "subject", "", "only events with this subject")
	cmd.Flags().StringVar(&f.Class, "class", "", "only those whose last error is of this class, such as timeout or trap")
	cmd.Flags().StringVar(&f.Since, "since", "", "dead since then: a time (2026-05-01T10:00:00Z), or back from now (1h, 7d)")
	cmd.Flags().StringVar(&f.Until, "until", "", "dead before then")
}

// deadLetterFilter puts what flags say into the API's words.
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
			return f, usageError{fmt.Errorf("%s: %w", at.flag, err)}
		}
		t, ok := p.When(now)
		if !ok {
			return f, usageError{fmt.Errorf("%s must be a time, or a duration back from now", at.flag)}
		}
		*at.text = t.UTC().Format(time.RFC3339Nano)
	}
	return f, nil
}

func deadLetterQuery(f wire.DeadLetterFilter, limit int, cursor string) url.Values {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	for name, value := range map[string]string{"plugin": f.Plugin, "event_id": f.EventID, "event_type": f.EventType, "subject": f.Subject,
		"class": f.Class, "since": f.Since, "until": f.Until, "cursor": cursor} {
		set(query, name, value)
	}
	return query
}

func (a *app) deadLettersList() *cobra.Command {
	var filter wire.DeadLetterFilter
	var limit int
	var cursor string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters, latest event first",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := deadLetterFilter(filter, time.Now())
			if err != nil {
				return err
			}
			path := deadLettersPath + "?" + deadLetterQuery(f, limit, cursor).Encode()
			return fetch(cmd.Context(), a, "GET", path, nil, func(list wire.List[wire.DeadLetter]) error {
				return a.page("SEQ\tEVENT ID\tPLUGIN\tTYPE\tSUBJECT\tREASON\tATTEMPTS\tDIED\tERROR", list.Next, len(list.Items), func(i int) cells {
					d := list.Items[i]
					return cells{d.Seq, d.EventID, d.Plugin, d.EventType, d.Subject, d.Reason,
						d.Attempts, clock(d.At), lastError(d)}
				})
			})
		},
	}
	deadLetterFlags(cmd, &filter)
	cmd.Flags().IntVar(&limit, "limit", 50, "at most this many")
	cmd.Flags().StringVar(&cursor, "cursor", "", "go on where the page before ended")
	return a.talks(cmd)
}

// failure is why an attempt failed, in its class and the first line of its message.
func failure(e *wire.DeliveryError) string {
	return e.Class + ": " + event.Headline(e.Message, 500)
}

// lastError is why a dead letter is one, in one line.
func lastError(d wire.DeadLetter) string {
	if d.Error == nil {
		return "-"
	}
	return failure(d.Error)
}

func (a *app) deadLettersShow() *cobra.Command {
	var plugin string
	cmd := &cobra.Command{
		Use:   "show EVENT-ID",
		Short: "Show an event's dead letters, with the event",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			id, err := findEvent(cmd.Context(), c, args[0], false)
			if err != nil {
				return err
			}
			path := deadLettersPath + "/" + id
			if plugin != "" {
				path += "?" + url.Values{"plugin": {plugin}}.Encode()
			}
			return fetchBy(cmd.Context(), a, c, "GET", path, nil, func(list wire.List[wire.DeadLetter]) error {
				for i, d := range list.Items {
					if i > 0 {
						a.print("\n")
					}
					a.print("plugin     %s\nevent      %s (%d)\ntype       %s\nsubject    %s\nkey        %s\nreason     %s after %d attempts\npublished  %s\nfirst try  %s\ndied       %s\n",
						d.Plugin, d.EventID, d.Seq, d.EventType, d.Subject, d.IdempotencyKey, d.Reason, d.Attempts,
						clock(d.PublishedAt), clockOr(d.FirstAttemptAt), clock(d.At))
					if d.Error != nil {
						a.print("error      %s: %s\n", d.Error.Class, lines(d.Error.Message))
					}
					if d.Event != nil {
						a.print("envelope   %s\n", string(d.Event))
					}
				}
				return nil
			}, func(list wire.List[wire.DeadLetter]) error {
				for _, d := range list.Items {
					if d.IdempotencyKey != args[0] {
						if err := about("event", d.EventID, args[0]); err != nil {
							return err
						}
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&plugin, "plugin", "", "only this plugin's")
	return a.talks(cmd)
}

func (a *app) deadLettersRedrive() *cobra.Command {
	return changeDeadLetters(a, deadLetterChange{
		verb: "redrive", short: "Deliver dead letters to their handlers again", question: "Deliver %s again?",
		example: "  berth events dead-letters redrive --plugin fraud-check --class timeout --since 2h",
	}, func(n wire.Redriven) int { return n.Redriven }, "on the way again")
}

func (a *app) deadLettersPurge() *cobra.Command {
	return changeDeadLetters(a, deadLetterChange{
		verb: "purge", short: "Remove dead letters for good", question: "Remove %s for good?",
		example: "  berth events dead-letters purge --plugin fraud-check --until 30d", final: true,
	}, func(n wire.Purged) int { return n.Purged }, "removed")
}

// deadLetterChange is what can be done to dead letters.
type deadLetterChange struct {
	verb, short, question, example string

	final bool // it cannot be taken back: without a terminal to ask at, --yes is needed
}

func (what deadLetterChange) note() string {
	if what.final {
		return "\nWithout a terminal --yes is required: this cannot be taken back."
	}
	return ""
}

// maxCounted bounds the counting before a question.
const maxCounted = 10_000

// changeDeadLetters is a command that changes dead letters. T is the API's answer,
// count takes the number out of it. A person who would change more than one is
// told how many, and asked.
func changeDeadLetters[T any](a *app, what deadLetterChange, count func(T) int, done string) *cobra.Command {
	var filter wire.DeadLetterFilter
	var yes bool
	cmd := &cobra.Command{
		Use:   what.verb + " (--plugin NAME | --event ID)",
		Short: what.short,
		Long: what.short + `: all to which every flag that is given applies.
More than one at a terminal are counted first and asked about, unless --yes is given.` + what.note(),
		Example: what.example,
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := deadLetterFilter(filter, time.Now())
			if err != nil {
				return err
			}
			if f.Plugin == "" && f.EventID == "" {
				return usageError{errors.New("give --plugin or --event: whose dead letters, or those of which event")}
			}
			if !yes && (a.interactive() || what.final) {
				n, err := a.countDeadLetters(cmd.Context(), f)
				if err != nil {
					return err
				}
				if n != "" {
					if err := a.confirm(fmt.Sprintf(what.question, n+" dead letters"), "nothing was changed: answer y at a terminal, or give --yes"); err != nil {
						return err
					}
				}
			}
			return fetch(cmd.Context(), a, "POST", deadLettersPath+"/"+what.verb, f, func(answer T) error {
				n, noun := count(answer), "dead letters"
				if n == 1 {
					noun = "dead letter"
				}
				err := a.print("%d %s %s\n", n, noun, done)
				return err
			})
		},
	}
	deadLetterFlags(cmd, &filter)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return a.talks(cmd)
}

// countDeadLetters says how many dead letters a filter finds, or "" for not more
// than one.
func (a *app) countDeadLetters(ctx context.Context, f wire.DeadLetterFilter) (string, error) {
	c, err := a.connect()
	if err != nil {
		return "", err
	}
	n := 0
	for cursor := ""; ; {
		var page wire.List[wire.DeadLetter]
		if _, err := c.call(ctx, "GET", deadLettersPath+"?"+deadLetterQuery(f, 500, cursor).Encode(), nil, &page); err != nil {
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
