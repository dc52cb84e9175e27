package measure

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/berth-host/berth/cmd/load/internal/target"
)

// TestDerivedIsWhatTheGuestAnswers has the values that abi's TestGuests has of derive.wasm.
func TestDerivedIsWhatTheGuestAnswers(t *testing.T) {
	for _, tt := range []struct {
		number, size, salt int
		want               string
	}{
		{7, 0, 1000, `{"salt":1000,"sum":1618156615}`},
		{123456, 5, 1000, `{"salt":1000,"sum":949953435,"text":"eoduu"}`},
	} {
		if got := derived(tt.number, tt.size, tt.salt); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func TestTallyCountsWhatDiffers(t *testing.T) {
	right := derived(5, 0, saltOf(1))
	for _, tt := range []struct {
		name     string
		delivery target.Delivery
		want     tally // without example
		example  string
	}{
		{"right", target.Delivery{Plugin: "h001", Status: "ok", Result: json.RawMessage(right), Fuel: 1, DurationMS: 0.1},
			tally{deliveries: 1, right: 1, fuel: 1, duration: 1}, ""},
		{"of another handler", target.Delivery{Plugin: "h002", Status: "ok", Result: json.RawMessage(right), Fuel: 1, DurationMS: 0.1},
			tally{deliveries: 1, wrong: 1, fuel: 1, duration: 1}, "event 5 at h002"},
		{"not kept", target.Delivery{Plugin: "h001", Status: "ok", Result: json.RawMessage("null")},
			tally{deliveries: 1, missing: 1}, "want " + right},
		{"dead", target.Delivery{Plugin: "h001", Status: "dead"}, tally{}, "h001: dead"},
	} {
		var got tally
		got.add(5, tt.delivery)
		if (tt.example == "") != (got.example == "") || !strings.Contains(got.example, tt.example) {
			t.Errorf("%s: example %q, want %q in it", tt.name, got.example, tt.example)
		}
		if got.example = ""; got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestSampledIsEven(t *testing.T) {
	for _, tt := range []struct {
		from, to, limit int
		want            string
	}{
		{0, 3, 10, "[0,1,2]"}, {10, 20, 5, "[10,12,14,16,18]"}, {5, 5, 3, "null"},
	} {
		if got, _ := json.Marshal(sampled(tt.from, tt.to, tt.limit)); string(got) != tt.want {
			t.Errorf("sampled(%d, %d, %d) = %s, want %s", tt.from, tt.to, tt.limit, got, tt.want)
		}
	}
}
