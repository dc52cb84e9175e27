package plugin

import "context"

// Views answers how often all rows were shown, and how often the files were sorted.
func (m *Manager) Views(ctx context.Context) (views, sorts int, err error) {
	err = m.ask(ctx, "count the views", func(l *loop) { views, sorts = l.views, l.sorts })
	return views, sorts, err
}
