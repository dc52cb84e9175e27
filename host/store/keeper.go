package store

import "time"

// keepEvery is how often the keeper flushes the watermark and checks the names of
// the store's files, which the writer checks after every commit as well.
const keepEvery = time.Second

// runKeeper looks after the files until Close.
func (s *Store) runKeeper() {
	defer close(s.kept)
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if s.keep() {
				s.shrinkStep()
			}
		case <-s.closing:
			return
		}
	}
}

// keep checks the files' names and flushes the watermark. It reports whether the
// store is attached; if it is not, checkFiles logs it, and Health says it.
func (s *Store) keep() (attached bool) {
	attached = s.checkFiles(len(s.attached.files)) == nil
	s.watermark.sync(attached)
	return attached
}
