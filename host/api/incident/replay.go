package incident

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/berth-host/berth/host/api/ports"
	"github.com/berth-host/berth/host/api/resource"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

type replays struct{ log ports.Replayer }

// replay is POST /api/v1/events/replay.
func (p replays) replay(r resource.Request) (resource.Answer, error) {
	r.Query()
	in := resource.Read[struct {
		Plugin string          `json:"plugin"`
		From   json.RawMessage `json:"from"`
		To     json.RawMessage `json:"to"`
	}](r)
	if in.Plugin == "" {
		r.Fail(fault.Field("plugin", "is required: the plugin that gets the events again"))
	}
	from := position(r, "from", in.From)
	if from == nil {
		r.Fail(fault.Field("from", `is required: a time (2026-05-01T10:00:00Z), a duration back from now (1h, 7d), a Seq (1042) or "earliest"`))
	}
	to := position(r, "to", in.To)
	if to != nil && to.Earliest {
		r.Fail(fault.Field("to", `cannot be "earliest"; leave it out for all there is until now`))
	}
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	first, last, err := p.seqRange(r.Ctx(), *from, to, time.Now())
	if err != nil {
		return resource.Answer{}, err
	}
	return resource.Answer{Status: http.StatusAccepted, Body: wire.Replaying{Plugin: in.Plugin, FromSeq: first, ToSeq: last}},
		p.log.Replay(r.Ctx(), in.Plugin, first, last)
}

// skip is POST /api/v1/events/skip. To is Seq by default.
func (p replays) skip(r resource.Request) (resource.Answer, error) {
	r.Query()
	in := resource.Read[struct {
		Seq *uint64 `json:"seq"`
		To  *uint64 `json:"to"`
	}](r)
	if in.Seq == nil {
		r.Fail(fault.Field("seq", "is required: the event that cannot be read"))
	}
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	if in.To == nil {
		in.To = in.Seq
	}
	done, err := p.log.Skip(r.Ctx(), *in.Seq, *in.To)
	return resource.Answer{Body: wire.Skipped{Seq: done.From, To: done.To, Plugins: append([]string{}, done.Handlers...)}}, err
}

// position reads a position in the log, as a string or a number; nil for none.
func position(r resource.Request, field string, raw json.RawMessage) *event.Position {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	text := string(raw)
	if c := raw[0]; c == '"' && json.Unmarshal(raw, &text) != nil || c != '"' && (c < '0' || c > '9') {
		r.Fail(fault.Field(field, "must be a string or a Seq"))
		return nil
	}
	p, err := event.ParsePosition(text)
	r.Fail(inField(field, err))
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
func (p replays) seqRange(ctx context.Context, from event.Position, to *event.Position, now time.Time) (first, last uint64, err error) {
	first, last = max(from.Seq, 1), p.log.Last()
	if t, ok := from.When(now); ok {
		if first, err = p.log.SeqAt(ctx, t); err != nil {
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
		after, err := p.log.SeqAt(ctx, t)
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
