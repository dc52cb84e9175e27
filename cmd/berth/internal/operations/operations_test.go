package operations

import (
	"testing"

	"github.com/berth-host/berth/host/wire"
)

// TestProgress: events that came to match after the start are no share of those counted then.
func TestProgress(t *testing.T) {
	for _, tt := range []struct {
		operation wire.Operation
		want      string
	}{
		{wire.Operation{State: wire.OperationRunning}, "0"},
		{wire.Operation{State: wire.OperationRunning, Done: 3, Total: 7}, "3 of 7"},
		{wire.Operation{State: wire.OperationRunning, Done: 8, Total: 7}, "8"},
		{wire.Operation{State: wire.OperationDone, Done: 7, Total: 7}, "7"},
		{wire.Operation{State: wire.OperationDone, Done: 14, Total: 7}, "14"},
		{wire.Operation{State: "cancelled", Done: 1, Total: 7}, "1 of 7"},
	} {
		if got := progress(tt.operation); got != tt.want {
			t.Errorf("%d of %d, %s: got %q, want %q", tt.operation.Done, tt.operation.Total, tt.operation.State, got, tt.want)
		}
	}
}
