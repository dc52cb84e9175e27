package delivery_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/berth-host/berth/host/delivery"
)

// TestSlowAttemptsAreNotLimitedByReadyEvents: a handler may have more open attempts than the
// number of events that are kept ready.
func TestSlowAttemptsAreNotLimitedByReadyEvents(t *testing.T) {
	const events = 1500
	l := newLog()
	for i := range events {
		l.publish(t, fmt.Sprint("o-", i))
	}
	d := delivery.New(delivery.Config{Store: noStore{}, Log: l})
	defer d.Close(context.Background()) //nolint:errcheck // nothing is written
	h := open(t, d, "h", delivery.Policy{})
	for range events {
		take(t, h) // and does not give it back
	}
}
