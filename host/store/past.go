package store

import (
	"context"
	"fmt"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/documents"
)

// exists reports whether the log has an event of a Seq, or never trimmed it.
func (g *group) exists(seq uint64) (there bool, err error) {
	if seq > g.trimmedTo() {
		return true, nil
	}
	err = g.queryRow(g.s.trim.there, int64(seq)).Scan(&there)
	return there, err
}

// Attempts returns the attempts of one event that are kept, by handler and in the order in
// which they ended; see package attempts.
func (s *Store) Attempts(ctx context.Context, seq uint64) ([]event.PastAttempt, error) {
	list, err := s.past.Of(ctx, seq)
	return list, s.coded("read attempts", err)
}

// PutDocuments stores documents, each in place of the one with its kind and id, in one
// transaction and in their order; one without a body removes it. It is durable when it
// returns. fault.Invalid, and nothing is stored, when event.CheckDocument refuses one.
func (s *Store) PutDocuments(ctx context.Context, list []event.Document) error {
	const doing = "store documents"
	o := &op{events: len(list), run: func(g *group) error { return s.docs.Put(conn{g}, list) }}
	for _, d := range list {
		if err := event.CheckDocument(d); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		o.bytes += len(d.Body)
	}
	if len(list) == 0 {
		return nil
	}
	return s.submit(ctx, doing, o)
}

// Documents returns the documents of a kind, ascending by id.
func (s *Store) Documents(ctx context.Context, kind string) ([]event.Document, error) {
	list, err := documents.List(ctx, s.reader, kind)
	return list, s.coded("read documents", err)
}
