package api

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// replayInput is the body of POST /api/v1/events/replay.
type replayInput struct {
	plugin   string
	from, to *event.Position // to is nil for the end of the log
}

func (r *request) replay() replayInput {
	r.query()
	in := body[struct {
		Plugin string          `json:"plugin"`
		From   json.RawMessage `json:"from"`
		To     json.RawMessage `json:"to"`
	}](r)
	if in.Plugin == "" {
		r.fail(fault.Field("plugin", "is required: the plugin that gets the events again"))
	}
	read := replayInput{plugin: in.Plugin, from: r.position("from", in.From)}
	if read.from == nil {
		r.fail(fault.Field("from", `is required: a time (2026-05-01T10:00:00Z), a duration back from now (1h, 7d), a Seq (1042) or "earliest"`))
	}
	if read.to = r.position("to", in.To); read.to != nil && read.to.Earliest {
		r.fail(fault.Field("to", `cannot be "earliest"; leave it out for all there is until now`))
	}
	return read
}

// replay is POST /api/v1/events/replay.
func (s *Server) replay(ctx context.Context, in replayInput) (answer reply, err error) {
	done := wire.Replaying{Plugin: in.plugin}
	if done.FromSeq, done.ToSeq, err = s.seqRange(ctx, *in.from, in.to, time.Now()); err != nil {
		return answer, err
	}
	return reply{status: 202, body: done}, s.cfg.Events.Replayer.Replay(ctx, in.plugin, done.FromSeq, done.ToSeq)
}

// skipInput is the body of POST /api/v1/events/skip. To is Seq by default.
type skipInput struct {
	Seq *uint64 `json:"seq"`
	To  *uint64 `json:"to"`
}

func (r *request) skip() skipInput {
	r.query()
	in := body[skipInput](r)
	if in.Seq == nil {
		r.fail(fault.Field("seq", "is required: the event that cannot be read"))
	}
	if in.To == nil {
		in.To = in.Seq
	}
	return in
}

// skip is POST /api/v1/events/skip.
func (s *Server) skip(ctx context.Context, in skipInput) (wire.Skipped, error) {
	done, err := s.cfg.Events.Replayer.Skip(ctx, *in.Seq, *in.To)
	return wire.Skipped{Seq: done.From, To: done.To, Plugins: orEmpty(done.Handlers)}, err
}

// position reads a position in the log, as a string or a number; nil for none.
func (r *request) position(field string, raw json.RawMessage) *event.Position {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	text := string(raw)
	if c := raw[0]; c == '"' && json.Unmarshal(raw, &text) != nil || c != '"' && (c < '0' || c > '9') {
		r.fail(fault.Field(field, "must be a string or a Seq"))
		return nil
	}
	p, err := event.ParsePosition(text)
	r.fail(inField(field, err))
	return &p
}

// inField names the field of an error that names none.
func inField(field string, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	named := *f
	named.Field = field
	return &named
}

// seqRange returns the Seqs of a part of the log, both ends included. The event at an end
// that is a time is excluded: the range has what was published before it.
func (s *Server) seqRange(ctx context.Context, from event.Position, to *event.Position, now time.Time) (first, last uint64, err error) {
	log := s.cfg.Events.Replayer
	first, last = max(from.Seq, 1), log.Last()
	if t, ok := from.When(now); ok {
		if first, err = log.SeqAt(ctx, t); err != nil {
			return 0, 0, err
		}
	}
	if first > last {
		return 0, 0, fault.Field("from", "the log has nothing from there on; its last event is %d", last)
	}
	switch {
	case to == nil:
	case to.Seq > 0:
		last = min(last, to.Seq)
	default:
		t, _ := to.When(now)
		after, err := log.SeqAt(ctx, t)
		if err != nil {
			return 0, 0, err
		}
		last = min(last, max(after, 1)-1)
	}
	if first > last {
		return 0, 0, fault.Field("to", "the log has nothing between from and there")
	}
	return first, last, nil
}
