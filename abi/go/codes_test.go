package berth_test

import (
	"testing"

	"github.com/berth-host/berth/abi"
	berth "github.com/berth-host/berth/abi/go"
)

// TestCodes proves that the SDK, which does not import package abi to stay
// small, has its codes.
func TestCodes(t *testing.T) {
	for code, want := range map[berth.Code]abi.Code{
		berth.ErrEnd: abi.End, berth.ErrInvalid: abi.Invalid, berth.ErrDenied: abi.Denied, berth.ErrNotFound: abi.NotFound,
		berth.ErrTooLarge: abi.TooLarge, berth.ErrUnavailable: abi.Unavailable, berth.ErrTimeout: abi.Timeout, berth.ErrConflict: abi.Conflict,
	} {
		if int32(code) != int32(want) {
			t.Errorf("%v is %d, want %d", code, code, want)
		}
	}
}
