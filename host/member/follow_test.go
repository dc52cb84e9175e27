package member_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/member"
)

// followed is a Follower at work in a bubble with a clock of its own.
type followed struct {
	*member.Follower
	mu    sync.Mutex
	calls int           // of kind token
	err   error         // that they answer
	block chan struct{} // kind slow waits for it
}

// called fails the test unless there were n calls, once nothing is at work.
func (f *followed) called(t *testing.T, n int) {
	t.Helper()
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls != n {
		t.Errorf("%d calls, want %d", f.calls, n)
	}
}

// answer sets the error of later calls.
func (f *followed) answer(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func follow(t *testing.T, test func(*followed)) {
	synctest.Test(t, func(t *testing.T) {
		f := &followed{block: make(chan struct{})}
		f.Follower = member.NewFollower(map[string]func(context.Context) error{
			"token": func(context.Context) error {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.calls++
				return f.err
			},
			"slow": func(ctx context.Context) error {
				select {
				case <-f.block:
				case <-ctx.Done():
				}
				return nil
			}}, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.Run(ctx)
		}()
		test(f)
		cancel()
		<-done
	})
}

func TestChangedKindIsFollowedOnce(t *testing.T) {
	follow(t, func(f *followed) {
		for range 3 {
			f.See(map[string]uint64{"token": 1, "slow": 9}) // slow delays no other
			synctest.Wait()
		}
		f.called(t, 1)
		f.See(map[string]uint64{"token": 2})
		f.called(t, 2)
	})
}

func TestFailedFollowIsRepeated(t *testing.T) {
	follow(t, func(f *followed) {
		f.answer(fault.New(fault.Unavailable, "away"))
		f.See(map[string]uint64{"token": 1})
		<-time.After(3500 * time.Millisecond) // by the clock of the bubble
		f.called(t, 4)
		f.answer(fault.New(fault.Invalid, "only another change repairs it"))
		<-time.After(time.Minute)
		f.called(t, 5)
		f.answer(nil)
		f.See(map[string]uint64{"token": 2})
		f.called(t, 6)
	})
}
