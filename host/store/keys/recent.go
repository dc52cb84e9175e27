package keys

import (
	"cmp"
	"slices"
	"sync"
)

// Entry is one key or id of an event.
type Entry struct {
	Hash int64
	Seq  uint64
}

// recent has the entries that are not in the file yet. The zero value is empty. It is
// safe for concurrent use.
type recent struct {
	mu       sync.RWMutex
	first    map[int64]uint64   // by hash
	collided map[int64][]uint64 // further entries of a hash
	entries  int
}

func (r *recent) add(list ...Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first == nil {
		r.first, r.collided = make(map[int64]uint64), make(map[int64][]uint64)
	}
	for _, e := range list {
		r.entries++
		if _, found := r.first[e.Hash]; found {
			r.collided[e.Hash] = append(r.collided[e.Hash], e.Seq)
		} else {
			r.first[e.Hash] = e.Seq
		}
	}
}

// remove removes entries; those that are not there are ignored.
func (r *recent) remove(list []Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range list {
		more := r.collided[e.Hash]
		if first, found := r.first[e.Hash]; found && first == e.Seq {
			r.entries--
			if len(more) == 0 {
				delete(r.first, e.Hash)
				continue
			}
			r.first[e.Hash], more = more[0], more[1:]
		} else if i := slices.Index(more, e.Seq); i >= 0 {
			r.entries--
			more = slices.Delete(more, i, i+1)
		}
		if len(more) == 0 {
			delete(r.collided, e.Hash)
		} else {
			r.collided[e.Hash] = more
		}
	}
	if r.entries == 0 {
		r.first, r.collided = nil, nil // a map keeps the memory of its largest size
	}
}

// find appends the Seqs of a hash to list.
func (r *recent) find(hash int64, list []uint64) []uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if seq, found := r.first[hash]; found {
		list = append(append(list, seq), r.collided[hash]...)
	}
	return list
}

// upTo returns the entries up to a Seq, in the order of their hashes.
func (r *recent) upTo(last uint64) []Entry {
	r.mu.RLock()
	list := make([]Entry, 0, r.entries)
	add := func(hash int64, seq uint64) {
		if seq <= last {
			list = append(list, Entry{hash, seq})
		}
	}
	for hash, seq := range r.first {
		add(hash, seq)
	}
	for hash, seqs := range r.collided {
		for _, seq := range seqs {
			add(hash, seq)
		}
	}
	r.mu.RUnlock()
	sortEntries(list)
	return list
}

func (r *recent) len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.entries
}

func sortEntries(list []Entry) {
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Or(cmp.Compare(a.Hash, b.Hash), cmp.Compare(a.Seq, b.Seq)) })
}
