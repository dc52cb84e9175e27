package command

import "testing"

func TestDaysAreHoursForTheAPI(t *testing.T) {
	for text, want := range map[string]string{
		"7d": "168h", "1d12h": "24h12h", "0d": "0h", "36h": "36h", "15m": "15m", "": "",
		"d": "d", "-1d": "-1d", "1.5d": "1.5d", "99999d": "99999d", "soon": "soon", "tomorrow, 2d": "tomorrow, 2d",
	} {
		if got := InHours(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
