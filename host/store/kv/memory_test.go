package kv

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"github.com/berth-host/berth/host/spec"
)

// memory is a file with a transaction.
type memory struct {
	committed, open contents
}

// contents are the values of a file.
type contents = map[Key]Stored

func newMemory() *memory { return &memory{committed: contents{}, open: contents{}} }

func (m *memory) Value(key Key) (Stored, error) { return m.open[key], nil }

func (m *memory) Expired(plugin string, now int64, after Expired, limit int) (list []Expired, err error) {
	for k, v := range m.open {
		e := Expired{k, v.Until, int64(len(v.Value))}
		if v.Until != 0 && v.Until <= now && (plugin == "" || plugin == k.Plugin) && compareExpired(e, after) > 0 {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, compareExpired)
	return list[:min(limit, len(list))], nil
}

func compareExpired(a, b Expired) int {
	return cmp.Or(cmp.Compare(a.Until, b.Until), compareKeys(a.Key, b.Key))
}

func (m *memory) Usage(plugin string) (int64, error) { return usageOf(m.open, plugin), nil }

func (m *memory) Clear(plugin string) error {
	maps.DeleteFunc(m.open, func(k Key, _ Stored) bool { return k.Plugin == plugin })
	return nil
}

func (m *memory) Delete(key Key) error { delete(m.open, key); return nil }

func (m *memory) Set(list []Entry) error {
	for _, e := range list {
		if before := m.open[e.Key]; !e.Limited && before.Until+e.Until != 0 {
			return errBroken // the statement for such entries leaves the time limit
		}
		m.open[e.Key] = Stored{e.Value, e.Until, true}
	}
	return nil
}

func (m *memory) commit()   { m.committed = maps.Clone(m.open) }
func (m *memory) rollback() { m.open = maps.Clone(m.committed) }

func usageOf(values contents, plugin string) (n int64) {
	for k, v := range values {
		if k.Plugin == plugin {
			n += int64(len(k.Name)+len(v.Value)) + spec.KVEntry
		}
	}
	return n
}

// broken is a file that fails.
type broken struct{ *memory }

var errBroken = errors.New("broken")

func (broken) Value(Key) (Stored, error)   { return Stored{}, errBroken }
func (broken) Usage(string) (int64, error) { return 0, errBroken }
