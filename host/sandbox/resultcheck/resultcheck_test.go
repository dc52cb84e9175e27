package resultcheck

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestRepeatedResultIsCheckedAsTheFirst: a check that remembers the last valid result has
// the same verdict as one that does not, for every result of a sequence, and does not keep
// guest memory.
func TestRepeatedResultIsCheckedAsTheFirst(t *testing.T) {
	results := []string{"", `{}`, `{`, `"ok"`, `"no"`, "\"\xff\"", strings.Repeat("[", 300) + strings.Repeat("]", 300),
		`"` + strings.Repeat("x", maxRepeated) + `"`, strings.Repeat("[", 2000) + strings.Repeat("]", 2000)}
	rapid.Check(t, func(t *rapid.T) {
		var c Check
		for range rapid.IntRange(1, 20).Draw(t, "results") {
			memory := []byte(rapid.SampledFrom(results).Draw(t, "result"))
			if got, want := c.Bad(memory), Bad(memory); got != want {
				t.Fatalf("%.20q: got %q, want %q", memory, got, want)
			}
			for i := range memory {
				memory[i] = 'x' // the guest goes on
			}
		}
		if len(c.valid) > maxRepeated {
			t.Fatalf("it remembers %d bytes", len(c.valid))
		}
	})
}
