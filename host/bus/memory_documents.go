package bus

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/berth-host/berth/host/event"
)

// PutDocuments implements State.
func (m *Memory) PutDocuments(ctx context.Context, list []event.Document) error {
	const doing = "store documents"
	for _, d := range list {
		if err := event.CheckDocument(d); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, doing); err != nil {
		return err
	}
	for _, d := range list {
		of := m.docs[d.Kind]
		if of == nil {
			of = make(map[string]string)
			m.docs[d.Kind] = of
		}
		if of[d.ID] = d.Body; d.Body == "" {
			delete(of, d.ID)
		}
	}
	return nil
}

// Documents implements State.
func (m *Memory) Documents(ctx context.Context, kind string) ([]event.Document, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, "read documents"); err != nil {
		return nil, err
	}
	var list []event.Document
	for id, body := range m.docs[kind] {
		list = append(list, event.Document{Kind: kind, ID: id, Body: body})
	}
	slices.SortFunc(list, func(a, b event.Document) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}
