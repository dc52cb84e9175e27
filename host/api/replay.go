package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// replay is POST /api/v1/events/replay.
func (s *Server) replay(c echo.Context) (reply, error) {
	if s.cfg.Replayer == nil {
		return reply{}, missing("replay is")
	}
	if _, err := query(c); err != nil {
		return reply{}, err
	}
	in, err := decodeBody[struct {
		Plugin string          `json:"plugin"`
		From   json.RawMessage `json:"from"`
		To     json.RawMessage `json:"to"`
	}](s, c)
	if err != nil {
		return reply{}, err
	}
	if in.Plugin == "" {
		return reply{}, fault.Field("plugin", "is required: which one has the events again")
	}
	from, err := placeOf("from", in.From)
	if err != nil {
		return reply{}, err
	}
	if from == nil {
		return reply{}, fault.Field("from", `is required: a time (2026-05-01T10:00:00Z), a duration back from now (1h, 7d), a Seq (1042) or "earliest"`)
	}
	to, err := placeOf("to", in.To)
	if err != nil {
		return reply{}, err
	}
	if to != nil && to.Earliest {
		return reply{}, fault.Field("to", `cannot be "earliest"; leave it out for all there is until now`)
	}
	ctx := c.Request().Context()
	answer := wire.Replaying{Plugin: in.Plugin}
	if answer.FromSeq, answer.ToSeq, err = s.stretch(ctx, *from, to, time.Now()); err != nil {
		return reply{}, err
	}
	if err := s.cfg.Replayer.Replay(ctx, in.Plugin, answer.FromSeq, answer.ToSeq); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusAccepted, body: answer}, nil
}

// skip is POST /api/v1/events/skip.
func (s *Server) skip(c echo.Context) (reply, error) {
	if s.cfg.Replayer == nil {
		return reply{}, missing("skipping is")
	}
	if _, err := query(c); err != nil {
		return reply{}, err
	}
	in, err := decodeBody[struct {
		Seq *uint64 `json:"seq"`
		To  *uint64 `json:"to"`
	}](s, c)
	switch {
	case err != nil:
		return reply{}, err
	case in.Seq == nil:
		return reply{}, fault.Field("seq", "is required: the event that cannot be read")
	case in.To == nil:
		in.To = in.Seq
	}
	done, err := s.cfg.Replayer.Skip(c.Request().Context(), *in.Seq, *in.To)
	if err != nil {
		return reply{}, err
	}
	answer := wire.Skipped{Seq: done.From, To: done.To, Plugins: done.Handlers}
	if answer.Plugins == nil {
		answer.Plugins = []string{}
	}
	return reply{body: answer}, nil
}

// placeOf reads a place in the log, as a string or a number; nil for none.
func placeOf(field string, raw json.RawMessage) (*event.Position, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	text := string(raw)
	switch c := raw[0]; {
	case c == '"':
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, fault.Field(field, "must be a string or a Seq")
		}
	case c < '0' || c > '9':
		return nil, fault.Field(field, "must be a string or a Seq")
	}
	p, err := event.ParsePosition(text)
	if err != nil {
		return nil, inField(field, err)
	}
	return &p, nil
}

// inField says which field an error is about that names none.
func inField(field string, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	named := *f
	named.Field = field
	return &named
}

// stretch finds the Seqs of a part of the log, both ends included. An end that
// is a time is not included: what was published before it is.
func (s *Server) stretch(ctx context.Context, from event.Position, to *event.Position, now time.Time) (first, last uint64, err error) {
	first, last = max(from.Seq, 1), s.cfg.Replayer.Last()
	if t, ok := from.When(now); ok {
		if first, err = s.cfg.Replayer.SeqAt(ctx, t); err != nil {
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
		after, err := s.cfg.Replayer.SeqAt(ctx, t)
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
