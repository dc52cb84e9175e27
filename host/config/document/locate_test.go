package document_test

import (
	"strings"
	"testing"

	"github.com/berth-host/berth/host/config/document"
)

func TestLocateFindsNearestValue(t *testing.T) {
	const text = "# c\nhandlers:\n  y: &y\n    config:\n      a: 1\n  x:\n    <<: *y\n    enabled: true\n  z:\n    config:\n      list:\n        - 1\n        - b: 2\n  w: {<<: [*y], config: {\n    q: 1}}\n"
	tests := []struct {
		way  string
		line int
	}{
		{"handlers", 2}, {"handlers x", 6}, {"handlers x config a", 5}, {"handlers x config b", 4}, {"handlers z config list 1 b", 13},
		{"handlers z config list 7", 11}, {"handlers w config q", 15}, {"handlers nobody config", 2}, {"routes", 2}, {"", 2},
	}
	for _, tt := range tests {
		if got := document.Locate([]byte(text), strings.Fields(tt.way)...); got != tt.line {
			t.Errorf("%s: got line %d, want %d", tt.way, got, tt.line)
		}
	}
	for _, text := range []string{"", "[", "x: &x {<<: *x}\n"} {
		if got := document.Locate([]byte(text), "a", "b"); got != 1 {
			t.Errorf("%q: got line %d, want 1", text, got)
		}
	}
}
