package etag_test

import (
	"fmt"
	"net/http"

	"github.com/berth-host/berth/host/api/etag"
)

func ExampleIfMatch() {
	r, err := http.NewRequest(http.MethodPost, "/api/v1/orders/A-1/status", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	r.Header.Set("If-Match", `W/"2", "3"`)
	tags, err := etag.IfMatch(r)
	fmt.Println(tags.Match("2"), tags.Match("3"), err)
	// Output: false true <nil>
}
