package kv

// sweepStep is the number of keys that are read, and removed by a Sweep, at once.
const sweepStep = 128

// reclaim removes values of a plugin whose time is over, the oldest first, until they are so
// many bytes or there are none, and returns their bytes.
func (b *Batch) reclaim(plugin string, bytes int64, r Reader) (freed int64, err error) {
	now, after := b.cache.now().UnixNano(), Expired{}
	for key, v := range b.values { // those of the batch are not in the file
		if key.Plugin == plugin && v.found && !v.at(b.cache.now).found {
			b.values[key], b.limited[key] = value{}, true
			b.used[plugin] -= v.size(key)
			freed += v.size(key)
		}
	}
	for freed < bytes {
		list, err := r.Expired(plugin, now, after, sweepStep)
		if err != nil || len(list) == 0 {
			return freed, err
		}
		after = list[len(list)-1]
		n, err := b.removeExpired(list, r)
		if freed += n; err != nil {
			return freed, err
		}
	}
	return freed, nil
}

// sweep removes values of all plugins whose time is over, at most sweepStep.
func (b *Batch) sweep(r Reader) (n int, err error) {
	list, err := r.Expired("", b.cache.now().UnixNano(), Expired{}, sweepStep)
	if err == nil {
		_, err = b.removeExpired(list, r)
	}
	return len(list), err
}

// removeExpired removes keys that the file has, unless the batch has written them, and
// returns their bytes.
func (b *Batch) removeExpired(list []Expired, r Reader) (freed int64, err error) {
	for _, e := range list {
		_, written := b.values[e.Key]
		_, cleared := b.cleared[e.Key.Plugin]
		if written || cleared {
			continue
		}
		if _, err := b.usedBy(e.Key.Plugin, r); err != nil {
			return freed, err
		}
		b.values[e.Key], b.limited[e.Key] = value{}, true
		b.used[e.Key.Plugin] -= entrySize(e.Key, e.Size)
		freed += entrySize(e.Key, e.Size)
	}
	return freed, nil
}
