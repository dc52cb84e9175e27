package host

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// TestCloseGivesEveryPartGraceTime: a part that uses up the timeout leaves the other
// parts enough time to flush.
func TestCloseGivesEveryPartGraceTime(t *testing.T) {
	h := &Host{closed: make(chan struct{})}
	var order []string
	broken := errors.New("broken")
	h.onClose("the first that was started", func(ctx context.Context) error {
		order = append(order, "first")
		return ctx.Err()
	})
	h.onClose("a broken one", func(ctx context.Context) error {
		order = append(order, "broken")
		return errors.Join(broken, ctx.Err())
	})
	h.onClose("an endless one", func(ctx context.Context) error {
		order = append(order, "endless")
		<-ctx.Done()
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := h.Close(ctx)
	if !errors.Is(err, broken) || errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the error of the broken part alone", err)
	}
	if want := []string{"endless", "broken", "first"}; !slices.Equal(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
}
