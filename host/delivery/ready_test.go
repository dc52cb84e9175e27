package delivery_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/berth-host/berth/host/delivery"
)

// TestManySlowAttempts holds that a handler is given as many events at a time as
// it asks for, also more than are kept ready for a busy one.
func TestManySlowAttempts(t *testing.T) {
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
