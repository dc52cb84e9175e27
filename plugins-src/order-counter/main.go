// Order-counter counts the events of all orders in one key.
package main

import (
	"errors"
	"strconv"

	berth "github.com/berth-host/berth/abi/go"
)

func main() { berth.Run(count) }

// key is where the count is kept.
const key = "count"

// count reads the count, adds one and writes it. Two instances may read the same count: the
// manifest's state atomic has the host deliver again the event whose count is stale.
func count(*berth.Event) (berth.Result, error) {
	n := int64(0)
	switch text, err := berth.KV.Get(key); {
	case errors.Is(err, berth.ErrNotFound):
	case err != nil:
		return berth.Result{}, err
	default:
		if n, err = strconv.ParseInt(string(text), 10, 64); err != nil {
			return berth.Result{}, berth.Reject("the count is no number: " + string(text))
		}
	}
	n++
	if err := berth.KV.Set(key, strconv.AppendInt(nil, n, 10)); err != nil {
		return berth.Result{}, err
	}
	var answer berth.Object
	return answer.Int("count", n).Result(), nil
}
