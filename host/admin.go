package host

import (
	"context"
	"encoding/json"
	"time"

	"github.com/berth-host/berth/host/api"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// deadLetters shows the dead letters to the API.
type deadLetters struct{ dispatcher *delivery.Dispatcher }

// DeadLetters implements api.DeadLetters.
func (l deadLetters) DeadLetters(ctx context.Context, q api.DeadLetterQuery, cursor string, limit int) ([]wire.DeadLetter, string, error) {
	dead, next, err := l.dispatcher.DeadLetters(ctx, deadFilter(q), cursor, limit)
	if err != nil {
		return nil, "", err
	}
	list := make([]wire.DeadLetter, len(dead))
	for i, d := range dead {
		list[i] = deadLetter(d)
	}
	return list, next, nil
}

// Redrive implements api.DeadLetters.
func (l deadLetters) Redrive(ctx context.Context, q api.DeadLetterQuery) (int, error) {
	return l.dispatcher.Redrive(ctx, deadFilter(q))
}

// Purge implements api.DeadLetters.
func (l deadLetters) Purge(ctx context.Context, q api.DeadLetterQuery) (int, error) {
	return l.dispatcher.Purge(ctx, deadFilter(q))
}

func deadFilter(q api.DeadLetterQuery) event.DeadFilter {
	return event.DeadFilter{Handler: q.Plugin, EventID: q.EventID, Type: q.EventType, Subject: q.Subject,
		Class: event.Class(q.Class), Since: q.Since, Until: q.Until}
}

func deadLetter(d event.DeadLetter) wire.DeadLetter {
	meta := d.Event.Metadata()
	w := wire.DeadLetter{
		Plugin: d.Handler, EventID: meta.EventID, Seq: d.Seq, EventType: string(d.Event.Type()), Subject: meta.Subject,
		IdempotencyKey: meta.IdempotencyKey, Status: string(d.Status), Reason: d.Reason, Attempts: d.Attempts,
		Error: delivery.Wire(d.Delivery).Error, PublishedAt: meta.Time, At: d.At, Event: json.RawMessage(d.Event.Envelope()),
	}
	if !d.FirstAt.IsZero() {
		w.FirstAttemptAt = &d.FirstAt
	}
	return w
}

// replayer delivers parts of the log again for the API.
type replayer struct {
	*bus.Bus
	log        engine
	dispatcher *delivery.Dispatcher
}

// SeqAt implements api.Replayer.
func (r replayer) SeqAt(ctx context.Context, t time.Time) (uint64, error) { return r.log.SeqAt(ctx, t) }

// Replay implements api.Replayer.
func (r replayer) Replay(ctx context.Context, plugin string, from, to uint64) error {
	return r.dispatcher.Replay(ctx, plugin, from, to)
}

// Skip implements api.Replayer.
func (r replayer) Skip(ctx context.Context, from, to uint64) (event.Skipped, error) {
	return r.log.Skip(ctx, from, to)
}
