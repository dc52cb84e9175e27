package main

import (
	"strconv"
	"testing"

	"github.com/berth-host/berth/abi/go/berthtest"
)

var moved = berthtest.Event("order_status_changed", `{"order_id":"o-1","status":"shipped"}`)

func TestEachEventAddsOne(t *testing.T) {
	h := &berthtest.Host{}
	for n := range 3 {
		want := strconv.Itoa(n + 1)
		out := h.Deliver(t, count, moved)
		if out.Status != berthtest.OK || out.Result != `{"count":`+want+`}` || string(h.KV[key]) != want {
			t.Errorf("event %d: got %+v with the key at %q", n+1, out, h.KV[key])
		}
	}
}

func TestUnreadableCountIsKept(t *testing.T) {
	h := &berthtest.Host{KV: map[string][]byte{key: []byte("many")}}
	out := h.Deliver(t, count, moved)
	if out.Status != berthtest.Rejected || string(h.KV[key]) != "many" {
		t.Errorf("got %+v with the key at %q", out, h.KV[key])
	}
}

func TestDeniedStateIsARetry(t *testing.T) {
	h := &berthtest.Host{Denied: []string{"kv"}}
	if out := h.Deliver(t, count, moved); out.Status != berthtest.Retry {
		t.Errorf("got %+v", out)
	}
}
