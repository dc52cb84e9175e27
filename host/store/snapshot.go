package store

import (
	"context"

	"github.com/berth-host/berth/host/store/datafile"
)

// Snapshot writes a consistent copy of the store, as it is between two transactions, into
// a file, which must be empty, and describes the copy. Readers and writers continue; the
// WAL grows by what they write during the copy. The copy has every write that was
// acknowledged before the call. Of several calls one runs at a time. Snapshot does not
// flush the copy. After an error the file may have a part of it. Close ends a Snapshot with
// the error of a closed file.
func (s *Store) Snapshot(ctx context.Context, target string) (datafile.Snapshot, error) {
	const doing = "copy the store"
	s.copying.Lock()
	defer s.copying.Unlock()
	if s.closed() {
		return datafile.Snapshot{}, s.coded(doing, errClosed())
	}
	if err := s.file.Detached(); err != nil {
		return datafile.Snapshot{}, s.coded(doing, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-s.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	snapshot, err := s.file.CopyTo(ctx, target)
	cancel()
	<-ended
	if err != nil && s.closed() {
		err = errClosed()
	}
	return snapshot, s.coded(doing, err)
}
