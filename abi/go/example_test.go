package berth_test

import (
	"fmt"

	berth "github.com/berth-host/berth/abi/go"
	"github.com/berth-host/berth/abi/go/berthtest"
)

// A handler that reads two fields. A plugin's main calls Run; here a host for tests
// passes the event.
func ExampleRun() {
	handle := func(ev *berth.Event) (berth.Result, error) {
		cents, ok := ev.Int("/data/total_cents")
		if !ok {
			return berth.Result{}, berth.Reject("not an order")
		}
		var answer berth.Object
		return answer.Str("order", ev.Subject()).Bool("big", cents >= 10_000).Result(), nil
	}
	var host berthtest.Host
	for _, out := range host.Serve(func() { berth.Run(handle) },
		berthtest.Event("order_status_changed", `{"order_id":"piano-1","total_cents":250000}`),
		berthtest.Event("user_created", `{"id":"u-1"}`)) {
		fmt.Printf("%s: %s\n", out.Status, out.Result+out.Reason)
	}
	// Output:
	// ok: {"order":"piano-1","big":true}
	// rejected: not an order
}
