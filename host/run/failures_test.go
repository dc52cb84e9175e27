package run

import (
	"fmt"
	"testing"

	"github.com/berth-host/berth/host/event"
)

func TestFailureHasKeyAndVersion(t *testing.T) {
	ev, err := event.New(event.Draft{Type: "t", Subject: "A-1", Data: []byte(`{"customer":"C-7"}`)})
	if err != nil {
		t.Fatal(err)
	}
	var r Runner
	r.started.add("a", started{"01", "1.0.0", valueAt("/data/customer")})
	r.started.add("a", started{"02", "1.1.0", valueAt("")})
	r.started.add("b", started{"01", "3.0.0", valueAt("/data/missing")})
	for _, tt := range []struct{ handler, sha256, key, version string }{
		{"a", "01", "C-7", "1.0.0"}, {"a", "02", "A-1", "1.1.0"}, {"b", "01", "A-1", "3.0.0"}, {"b", "02", "A-1", ""}, {"c", "", "A-1", ""},
	} {
		key, version := r.FailureOf(event.Record{Seq: 1, Event: ev}, event.Delivery{Handler: tt.handler, SHA256: tt.sha256})
		if key != tt.key || version != tt.version {
			t.Errorf("%+v: got %q, %q", tt, key, version)
		}
	}
}

func TestStartedVersionsAreBounded(t *testing.T) {
	var v startedVersions
	for i := range 100 {
		v.add("a", started{sha256: fmt.Sprint(i), version: fmt.Sprint("1.", i)})
		v.add("a", started{sha256: fmt.Sprint(i), version: fmt.Sprint("1.", i)}) // its settings have changed
	}
	if n := len(v.byHandler["a"]); n != maxVersions {
		t.Errorf("%d versions", n)
	}
	if s := v.find("a", "93"); s.version != "1.93" {
		t.Errorf("got %+v", s)
	}
	if s := v.find("a", "91"); s.version != "" {
		t.Errorf("got %+v", s)
	}
}
