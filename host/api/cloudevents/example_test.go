package cloudevents_test

import (
	"fmt"

	"github.com/berth-host/berth/host/api/cloudevents"
)

func ExampleParseStructured() {
	draft, err := cloudevents.ParseStructured([]byte(`{"specversion":"1.0","id":"A-1","source":"/shop","type":"order_created","data":{"total":42}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(draft.Type, draft.IdempotencyKey, string(draft.Data))
	// Output: order_created /shop A-1 {"total":42}
}
