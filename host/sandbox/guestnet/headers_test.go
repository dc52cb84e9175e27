package guestnet_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/guestnet"
)

// TestHeadersTooLarge: a retry does not help, so the code is not UNAVAILABLE. Package
// sandbox maps an exhausted limit with a field to TOO_LARGE.
func TestHeadersTooLarge(t *testing.T) {
	host := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 600 {
			w.Header().Set(fmt.Sprintf("h%d", i), strings.Repeat("v", 4000))
		}
	})
	_, err := send(t, client(t, guestnet.Config{}, host), fmt.Sprintf(`{"method":"GET","url":"http://%s/"}`, host))
	var known *fault.Error
	if !errors.As(err, &known) || known.Code != fault.Exhausted || known.Field == "" {
		t.Errorf("got %v", err)
	}
}
