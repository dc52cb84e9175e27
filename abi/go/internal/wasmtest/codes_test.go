package wasmtest

import (
	"testing"

	"github.com/berth-host/berth/abi"
	berth "github.com/berth-host/berth/abi/go"
)

// TestCodes proves that the SDK, which imports nothing of the host, has the codes
// of package abi.
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
