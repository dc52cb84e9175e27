package metrics

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated part of docs/metrics.md")

// generatedBelow separates the text of docs/metrics.md that people write from the part that
// this test writes.
const generatedBelow = "<!-- Generated. To update: go test ./host/telemetry/metrics -run TestDocument -update -->\n"

// TestDocumentListsEveryMetric holds the generated part of docs/metrics.md equal to the
// definitions.
func TestDocumentListsEveryMetric(t *testing.T) {
	path := filepath.Join("..", "..", "..", "docs", "metrics.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	written, generated, found := strings.Cut(string(text), generatedBelow)
	if !found {
		t.Fatalf("%s does not have the line %q", path, generatedBelow)
	}
	want := "\n| metric | type | labels | |\n|---|---|---|---|\n"
	for _, m := range List() {
		labels := "—"
		if len(m.Labels) > 0 {
			labels = "`" + strings.Join(m.Labels, "`, `") + "`"
		}
		want += fmt.Sprintf("| `%s` | %s | %s | %s |\n", m.Name, m.Type, labels, m.Help)
	}
	if generated == want {
		return
	}
	if !*update {
		t.Fatalf("%s is stale; run: go test ./host/telemetry/metrics -run TestDocument -update", path)
	}
	if err := os.WriteFile(path, []byte(written+generatedBelow+want), 0o644); err != nil {
		t.Fatal(err)
	}
}
