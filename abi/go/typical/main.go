// Typical is a typical handler: it reads three fields of an order and answers them. It is
// measured against minimum.
package main

import berth "github.com/berth-host/berth/abi/go"

func main() { berth.Run(handle) }

func handle(ev *berth.Event) (berth.Result, error) {
	order, ok := ev.Field("/data/order_id")
	if !ok {
		return berth.Result{}, berth.Reject("the event is about no order")
	}
	status, _ := ev.Field("/data/status")
	cents, _ := ev.Int("/data/total_cents")
	var answer berth.Object
	answer.Str("order", order).Str("status", status).Int("cents", cents)
	return answer.Result(), nil
}
