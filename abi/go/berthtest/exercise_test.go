package berthtest_test

import (
	"fmt"
	"strings"
	"testing"

	berth "github.com/berth-host/berth/abi/go"
	"github.com/berth-host/berth/abi/go/berthtest"
	"github.com/berth-host/berth/abi/go/internal/exercise"
	"github.com/berth-host/berth/abi/go/internal/exercise/cases"
)

func TestNative(t *testing.T) {
	for _, tt := range cases.All() {
		t.Run(tt.Name, func(t *testing.T) {
			defer func() {
				if r := recover(); tt.Trap != "" && !strings.Contains(fmt.Sprint(r), tt.Trap) {
					t.Errorf("panic %v, want %q", r, tt.Trap)
				} else if tt.Trap == "" && r != nil {
					panic(r)
				}
			}()
			h := cases.NewHost()
			tt.Check(t, h, h.Deliver(t, exercise.Handle, berthtest.Event("order_status_changed", tt.Data)))
		})
	}
}

func TestNoHost(t *testing.T) {
	defer func() {
		if r := recover(); !strings.Contains(fmt.Sprint(r), "there is no host") {
			t.Errorf("panic %v, want one about the missing host", r)
		}
	}()
	berth.Info("into the void")
}

// TestCapabilitiesDenied proves that a call without its grant returns an error to
// the handler and has no other effect.
func TestCapabilitiesDenied(t *testing.T) {
	h := &berthtest.Host{Denied: []string{"kv", "emit"}}
	for do, want := range map[string]string{
		"emit": "berth: emit: denied: emit is not granted",
		"http": "berth: http: denied: http is not granted",
		"kv":   "get before set",
	} {
		out := h.Deliver(t, exercise.Handle, berthtest.Event("x", fmt.Sprintf(`{"do":%q}`, do)))
		if out.Status != berthtest.Retry || !strings.Contains(out.Reason, want) {
			t.Errorf("%s: got %s %q, want retry and %q", do, out.Status, out.Reason, want)
		}
	}
}
