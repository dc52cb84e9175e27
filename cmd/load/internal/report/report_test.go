package report

import (
	"math"
	"strings"
	"testing"
)

func TestFigureHasThreeDigitsOrCommas(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 0.01234: "0.0123", 1: "1", 12.345: "12.3", 99.96: "100", 999.6: "1,000", 1234567: "1,234,567", -1234.4: "-1,234",
		math.NaN(): "–", math.Inf(1): "–",
	} {
		if got := Figure(x); got != want {
			t.Errorf("Figure(%v) = %q, want %q", x, got, want)
		}
	}
}

func TestSeriesPrintsMedianAndRange(t *testing.T) {
	for _, tt := range []struct {
		series Series
		want   string
	}{
		{nil, "–"}, {Series{5}, "5"}, {Series{3, 1, 2}, "2 (1 to 3)"}, {Series{4000, 1000, 3000, 2000}, "2,000 (1,000 to 4,000)"},
	} {
		if got := tt.series.String(); got != tt.want {
			t.Errorf("%v prints as %q, want %q", []float64(tt.series), got, tt.want)
		}
	}
}

func TestTableIsMarkdown(t *testing.T) {
	table := Table{Title: "Publishing", Header: []string{"publishers", "events/s"}, Notes: []string{"One note."}}
	table.Add("64", Series{14200})
	var b strings.Builder
	if _, err := table.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	const want = "### Publishing\n\n| publishers | events/s |\n|---|---|\n| 64 | 14,200 |\n\n- One note.\n\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
