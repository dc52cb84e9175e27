package guestnet_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/event"
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

// TestIdempotencyKeyOfARequest: the host's key is sent, unless the guest sets the header, in
// any case of letters, and be it empty. A redirect to another origin loses it.
func TestIdempotencyKeyOfARequest(t *testing.T) {
	type received struct {
		keys []string
		ok   bool
	}
	got := make(chan received, 1)
	note := func(w http.ResponseWriter, r *http.Request) {
		keys, ok := r.Header["Idempotency-Key"]
		got <- received{keys, ok}
		w.WriteHeader(http.StatusNoContent)
	}
	other := serve(t, note)
	var host string
	host = serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/same":
			http.Redirect(w, r, "http://"+host+"/", http.StatusTemporaryRedirect)
		case "/other":
			http.Redirect(w, r, "http://"+other+"/", http.StatusTemporaryRedirect)
		default:
			note(w, r)
		}
	})
	c := client(t, guestnet.Config{}, host, other)
	for _, tt := range []struct {
		path, key, header, want string
		sent                    bool
	}{
		{"/", "host-key", ``, "host-key", true},
		{"/", "", ``, "", false},
		{"/", "host-key", `"Idempotency-Key":"own"`, "own", true},
		{"/", "host-key", `"idempotency-key":"own"`, "own", true},
		{"/", "host-key", `"IDEMPOTENCY-KEY":"own"`, "own", true},
		{"/", "host-key", `"iDempotency-kEy":""`, "", true},
		{"/", "", `"idempotency-key":"own"`, "own", true},
		{"/same", "host-key", ``, "host-key", true},
		{"/other", "host-key", ``, "", false},
		{"/other", "host-key", `"idempotency-key":"own"`, "", false},
	} {
		ctx := t.Context()
		if tt.key != "" {
			ctx = event.WithIdempotencyKey(ctx, tt.key)
		}
		text, err := c.Send(ctx, fmt.Appendf(nil, `{"method":"POST","url":"http://%s%s","headers":{%s}}`, host, tt.path, tt.header))
		if err != nil || !strings.Contains(text, "204") {
			t.Fatalf("%+v: got %s, %v", tt, text, err)
		}
		r := <-got
		if r.ok != tt.sent || strings.Join(r.keys, ",") != tt.want {
			t.Errorf("%+v: the server got %q, %v", tt, r.keys, r.ok)
		}
	}
}
