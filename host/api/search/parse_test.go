package search_test

import (
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/berth-host/berth/host/api/search"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

func noSelection(string, string) (func(*event.Event) bool, error) {
	return nil, fault.Field("event_type", "is no glob")
}

// FuzzParse: what is accepted names no field, what is refused names one, and a page begins
// above 0.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "type=t&status=dead&class=trap&since=1h&until=1m&cursor=7", "type=*", "status=x", "since=x", "cursor=-1",
		"cursor=18446744073709551616", "since=1m&until=1h", "type=T"} {
		f.Add(text)
	}
	now := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		q, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		filter, before, err := search.Parse(q, now, noSelection)
		var wrong *fault.Error
		switch {
		case err != nil && (!errors.As(err, &wrong) || wrong.Code != fault.Invalid || wrong.Field == ""):
			t.Errorf("%q: got %v", text, err)
		case err == nil && (before == 0) != (q.Get("cursor") == ""):
			t.Errorf("%q: got the cursor %d", text, before)
		case err == nil && filter.Type != "" && string(filter.Type) != q.Get("type"):
			t.Errorf("%q: got the type %q", text, filter.Type)
		}
	})
}

// TestValuesAreNamedOnce: the API's description lists them.
func TestValuesAreNamedOnce(t *testing.T) {
	for name, list := range map[string][]string{"Classes": search.Classes(), "Statuses": search.Statuses()} {
		seen := make(map[string]bool)
		for _, value := range list {
			if seen[value] {
				t.Errorf("%s has %s twice", name, value)
			}
			seen[value] = true
		}
	}
}
