package route_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/route"
)

func TestSelection(t *testing.T) {
	ev, err := event.New(event.Draft{Type: "order_status_changed", Subject: "o-1", Data: []byte(`{"total":12000,"list":[1,2]}`)})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		pattern, when string
		want          bool
	}{
		{"", "", true},
		{"*", "", true},
		{"order_*", "", true},
		{"order_status_changed", "data.total > 10000", true},
		{"order_status_changed", "data.total > 12000", false},
		{"stock_*", "", false},
		{"stock_*", "true", false},
		{"", `metadata.subject == "o-1" && event_type.startsWith("order")`, true},
		{"", "data.missing == 1", false}, // it cannot be evaluated
		{"", "data.list[7] == 1", false},
		{"", "data.total", false}, // not a boolean
	} {
		s, err := route.NewSelection(tt.pattern, tt.when)
		if err != nil {
			t.Errorf("%q when %q: %v", tt.pattern, tt.when, err)
			continue
		}
		for range 2 { // a selection keeps nothing of an event
			if got := s.Selects(ev); got != tt.want {
				t.Errorf("%q when %q: got %v, want %v", tt.pattern, tt.when, got, tt.want)
			}
		}
	}
}

func TestSelectionRefusesWhatIsNone(t *testing.T) {
	for _, tt := range []struct{ pattern, when, field string }{
		{"Order*", "", "event_type"},
		{strings.Repeat("x", 129), "", "event_type"},
		{"order_*", "data.", "when"},
		{"", "1 + 1", "when"},
		{"", " ", "when"},
		{"", strings.Repeat("x", 5000), "when"},
	} {
		_, err := route.NewSelection(tt.pattern, tt.when)
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != fault.Invalid || f.Field != tt.field {
			t.Errorf("%.20q when %.20q: got %v", tt.pattern, tt.when, err)
		}
	}
}

// TestSelectionIsBounded: the condition of one event costs no more than a route's.
func TestSelectionIsBounded(t *testing.T) {
	s, err := route.NewSelection("", "data.all(x, data.all(y, data.all(z, x + y + z >= 0)))")
	if err != nil {
		t.Fatal(err)
	}
	ev, err := event.New(event.Draft{Type: "t", Data: []byte("[" + strings.Repeat("1,", 999) + "1]")})
	if err != nil {
		t.Fatal(err)
	}
	if s.Selects(ev) {
		t.Error("a condition of a thousand million steps was evaluated")
	}
}
