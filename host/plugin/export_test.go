package plugin

import "context"

// Views answers how often all rows were shown, and how often the files were sorted.
func (m *Manager) Publishes(ctx context.Context) (publishes, sorts int, err error) {
	err = m.ask(ctx, "count the views", func(l *loop) { publishes, sorts = l.publishes, l.sorts })
	return publishes, sorts, err
}
