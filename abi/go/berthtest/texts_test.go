package berthtest_test

import (
	"fmt"
	"strings"
	"testing"

	berth "github.com/berth-host/berth/abi/go"
	"github.com/berth-host/berth/abi/go/berthtest"
)

// The texts of fields remain as they were while later ones are read, whatever their lengths.
func TestTextsOfFieldsRemain(t *testing.T) {
	var host berthtest.Host
	var got, want, envelopes []string
	for n := range 300 {
		text := strings.Repeat(string(rune('a'+n%26)), n*7%1500)
		want = append(want, text, "", "null")
		envelopes = append(envelopes, berthtest.Event("t", fmt.Sprintf(`{"text":%q,"empty":"","null":null}`, text)))
	}
	outcomes := host.Serve(func() {
		berth.Run(func(ev *berth.Event) (berth.Result, error) {
			for _, pointer := range []string{"/data/text", "/data/empty", "/data/null"} {
				text, ok := ev.Field(pointer)
				if !ok {
					return berth.Result{}, berth.Reject(pointer)
				}
				got = append(got, text)
			}
			if _, ok := ev.Field("/data/none"); ok {
				return berth.Result{}, berth.Reject("/data/none")
			}
			return berth.OK(), nil
		})
	}, envelopes...)
	for i, out := range outcomes {
		if out.Status != berthtest.OK {
			t.Fatalf("event %d: %+v", i, out)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d texts, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("text %d: got %.20q, want %.20q", i, got[i], want[i])
		}
	}
}

// All metadata of an envelope, and what it is without the optional ones.
func TestMetadata(t *testing.T) {
	var got berth.Metadata
	berthtest.Deliver(t, func(ev *berth.Event) (berth.Result, error) {
		got = ev.Metadata()
		return berth.OK(), nil
	}, `{"event_type":"t","data":1,"metadata":{"event_id":"e","idempotency_key":"k","source":"s","subject":"o","time":"2026-01-02T03:04:05.5Z",`+
		`"correlation_id":"c","causation_id":"p","traceparent":"00-1","hops":3}}`)
	if got.Time.UnixMilli() != 1767323045500 {
		t.Errorf("time %v", got.Time)
	}
	got.Time = berth.Metadata{}.Time
	if want := (berth.Metadata{EventID: "e", IdempotencyKey: "k", Source: "s", Subject: "o", CorrelationID: "c", CausationID: "p", Traceparent: "00-1", Hops: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	berthtest.Deliver(t, func(ev *berth.Event) (berth.Result, error) {
		got = ev.Metadata()
		return berth.OK(), nil
	}, berthtest.Event("t", `{}`))
	if got.CausationID != "" || got.Traceparent != "" || got.Hops != 0 {
		t.Errorf("got %+v", got)
	}
}
