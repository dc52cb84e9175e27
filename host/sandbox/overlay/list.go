package overlay

import (
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/host/event"
)

// List returns the keys that begin with prefix and sort bytewise after another key, ascending,
// at most limit; fewer only if there are no more. Each key that other deliveries or the store
// have is remembered with its value.
func (o *Overlay) List(b Base, now time.Time, prefix, after string, limit int) (keys []string, err error) {
	own := o.own(prefix, after)
	for {
		page := pageOf(b.PendingKeys(prefix, after, limit), limit)
		stored, err := b.List(prefix, after, limit)
		if err != nil {
			return nil, err
		}
		end, more := page.end, page.more
		if len(stored) == limit && (!more || stored[limit-1] < end) {
			end, more = stored[limit-1], true
		}
		for _, key := range page.union(stored, own) {
			if more && key > end {
				break
			}
			if key <= after {
				continue
			}
			there, err := o.listed(b, now, key)
			if err != nil {
				return nil, err
			}
			if !there {
				continue
			}
			if keys = append(keys, key); len(keys) == limit {
				return keys, nil
			}
		}
		if !more {
			return keys, nil
		}
		after = end
	}
}

// own returns the keys that the delivery has written, ascending.
func (o *Overlay) own(prefix, after string) (keys []string) {
	for i := range o.write {
		if key := o.write[i].Key; key > after && strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// listed reports whether a key is there, and remembers it if the delivery has not written it.
func (o *Overlay) listed(b Base, now time.Time, key string) (found bool, err error) {
	if i := o.writes.find(key); i >= 0 {
		return present(o.write[i], now), nil
	}
	if w, pending := b.Pending(key); pending && !present(w, now) {
		return false, nil // it is not yielded, so it is not remembered
	}
	_, found, err = o.readBelow(b, now, key)
	return found, err
}

// page is a list of pending writes that may be cut.
type page struct {
	keys []string
	end  string // the last key, if there are more
	more bool
}

func pageOf(list []event.EffectWrite, limit int) (p page) {
	for i := range list {
		p.keys = append(p.keys, list[i].Key)
	}
	if len(list) == limit {
		p.end, p.more = list[limit-1].Key, true
	}
	return p
}

// union returns all keys once, ascending.
func (p page) union(stored, own []string) []string {
	all := slices.Concat(p.keys, stored, own)
	slices.Sort(all)
	return slices.Compact(all)
}
