package problem_test

import (
	"testing"

	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/fault"
)

func TestPrivatePartIsNotShown(t *testing.T) {
	lost := &fault.Error{Code: fault.Unavailable, Reason: "append: the connection is lost: dial db.internal", Private: "dial db.internal"}
	for want, err := range map[string]error{
		"append: the connection is lost":          lost,
		"order 7: append: the connection is lost": fault.New(fault.Unavailable, "order 7: %w", lost),
	} {
		if p := problem.Of(err); p.Detail != want || p.Status != 503 {
			t.Errorf("got %d %q, want %q", p.Status, p.Detail, want)
		}
	}
}
