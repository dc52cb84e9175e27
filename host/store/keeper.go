package store

import "time"

// keepEvery is how often the keeper flushes the watermark and checks the names of
// the store's files, which the writer checks after every commit as well.
const keepEvery = time.Second

// runKeeper looks after the files until Close: it flushes the watermark, checks the
// files' names and gives free pages back to the disk.
func (s *Store) runKeeper() {
	defer close(s.kept)
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.watermark.sync()
			if s.checkFiles(len(s.attached.files)) == nil { // else it is logged, and Health says it
				s.shrinkStep()
			}
		case <-s.closing:
			return
		}
	}
}
