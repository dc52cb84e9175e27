package member_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/member"
)

// followed is a Follower at work in a bubble with a clock of its own.
type followed struct {
	*member.Follower
	calls map[string]int
	errs  map[string]error
	block chan struct{} // not nil: kind slow waits for it
}

func follow(t *testing.T, test func(*followed)) {
	synctest.Test(t, func(t *testing.T) {
		f := &followed{calls: make(map[string]int), errs: make(map[string]error), block: make(chan struct{})}
		call := func(kind string) func(context.Context) error {
			return func(context.Context) error {
				f.calls[kind]++
				return f.errs[kind]
			}
		}
		f.Follower = member.NewFollower(map[string]func(context.Context) error{"token": call("token"),
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
		if f.calls["token"] != 1 {
			t.Errorf("%d calls, want 1", f.calls["token"])
		}
		f.See(map[string]uint64{"token": 2})
		synctest.Wait()
		if f.calls["token"] != 2 {
			t.Errorf("%d calls, want 2", f.calls["token"])
		}
	})
}

func TestFailedFollowIsRepeated(t *testing.T) {
	follow(t, func(f *followed) {
		f.errs["token"] = fault.New(fault.Unavailable, "away")
		f.See(map[string]uint64{"token": 1})
		time.Sleep(3500 * time.Millisecond) // of the bubble's clock
		if f.calls["token"] != 4 {
			t.Errorf("%d calls, want 4", f.calls["token"])
		}
		f.errs["token"] = fault.New(fault.Invalid, "only another change repairs it")
		time.Sleep(time.Minute)
		if f.calls["token"] != 5 {
			t.Errorf("%d calls, want 5", f.calls["token"])
		}
		f.errs["token"] = nil
		f.See(map[string]uint64{"token": 2})
		synctest.Wait()
		if f.calls["token"] != 6 {
			t.Errorf("%d calls, want 6", f.calls["token"])
		}
	})
}
