package problem_test

import (
	"fmt"

	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/fault"
)

// A fault code decides the status, unless the error says more.
func ExampleOf() {
	for _, err := range []error{
		fault.Field("event_type", "is required"),
		fault.New(fault.Exhausted, "the disk is full"),
		&fault.Error{Code: fault.Exhausted, Field: "body", Reason: "is over the limit"},
	} {
		p := problem.Of(err)
		fmt.Println(p.Status, p.Code, p.Field, p.Detail)
	}
	// Output:
	// 400 invalid event_type is required
	// 507 exhausted  the disk is full
	// 413 exhausted body is over the limit
}
