package desk

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/event"
)

// Delivery reports all attempts at one event.
type Delivery struct {
	EventID   string     `json:"event_id"`
	EventType event.Type `json:"event_type"`
	Attempts  []Attempt  `json:"attempts"`
}

// Last returns the last attempt.
func (d Delivery) Last() Attempt { return d.Attempts[len(d.Attempts)-1] }

// Golden is the expected report of a run: the deliveries without their times and memory,
// and without the stacks of errors.
type Golden struct {
	Plugin     string     `json:"plugin"`
	Deliveries []Delivery `json:"deliveries"`
}

// NewGolden returns the golden report of a run.
func NewGolden(plugin string, deliveries []Delivery) Golden {
	g := Golden{Plugin: plugin}
	for _, d := range deliveries {
		d.Attempts = slices.Clone(d.Attempts)
		for i := range d.Attempts {
			a := &d.Attempts[i]
			a.DurationMS, a.Memory = 0, 0
			a.Message, _, _ = strings.Cut(a.Message, "\n")
			a.Message = withoutPosition(a.Message)
		}
		g.Deliveries = append(g.Deliveries, d)
	}
	return g
}

// withoutPosition removes the file and line at the end of a failure's headline, such as
// " (main.go:51)": they change with every edit above it.
func withoutPosition(headline string) string {
	inner, closed := strings.CutSuffix(headline, ")")
	at := strings.LastIndex(inner, " (")
	if !closed || at < 0 {
		return headline
	}
	file, line, _ := strings.Cut(inner[at+2:], ":")
	if file == "" || line == "" || strings.Trim(line, "0123456789:") != "" {
		return headline
	}
	return headline[:at]
}

// Encode returns the text of a golden file.
func (g Golden) Encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(g)
	return b.Bytes(), err
}

// ParseGolden reads a golden file.
func ParseGolden(text []byte) (Golden, error) {
	var g Golden
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&g); err != nil {
		return g, fmt.Errorf("it is not a golden file: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return g, errors.New("it is not a golden file: something follows the report")
	}
	for i, d := range g.Deliveries {
		if len(d.Attempts) == 0 {
			return g, fmt.Errorf("it is not a golden file: delivery %d has no attempt", i+1)
		}
	}
	return g, nil
}

// Difference is a difference between a golden report and a run.
type Difference struct {
	Event   int    `json:"event"` // from 1; 0: it is about the whole run
	Attempt int    `json:"attempt,omitzero"`
	What    string `json:"what"`
	Want    string `json:"want"`
	Got     string `json:"got"`
}

// Tolerance is by how much the fuel of an attempt may exceed the golden one, such as 0.05.
// A negative tolerance compares no fuel.
type Tolerance float64

// Compare returns the differences of a run from g.
func (g Golden) Compare(run Golden, fuel Tolerance) (differences []Difference) {
	if len(g.Deliveries) != len(run.Deliveries) {
		differences = append(differences, Difference{What: "events", Want: fmt.Sprint(len(g.Deliveries)), Got: fmt.Sprint(len(run.Deliveries))})
	}
	for i := range min(len(g.Deliveries), len(run.Deliveries)) {
		for _, d := range compareDelivery(g.Deliveries[i], run.Deliveries[i], fuel) {
			d.Event = i + 1
			differences = append(differences, d)
		}
	}
	return differences
}

func compareDelivery(want, got Delivery, fuel Tolerance) (differences []Difference) {
	add := func(attempt int, what, want, got string) {
		if want != got {
			differences = append(differences, Difference{Attempt: attempt, What: what, Want: cmp.Or(want, "none"), Got: cmp.Or(got, "none")})
		}
	}
	add(0, "event_type", string(want.EventType), string(got.EventType))
	add(0, "event_id", want.EventID, got.EventID)
	add(0, "attempts", fmt.Sprint(len(want.Attempts)), fmt.Sprint(len(got.Attempts)))
	for i := range min(len(want.Attempts), len(got.Attempts)) {
		w, g := want.Attempts[i], got.Attempts[i]
		n := i + 1
		add(n, "status", w.Status, g.Status)
		add(n, "class", string(w.Class), string(g.Class))
		add(n, "message", w.Message, g.Message)
		if !sameValue(w.Result, g.Result) {
			add(n, "result", compactText(w.Result), compactText(g.Result))
		}
		compareLists(add, n, "logs", w.Logs, g.Logs)
		compareLists(add, n, "children", w.Children, g.Children)
		compareLists(add, n, "kv", w.KV, g.KV)
		compareLists(add, n, "http", w.HTTP, g.HTTP)
		if limit := float64(w.Fuel) * (1 + float64(fuel)); fuel >= 0 && float64(g.Fuel) > limit {
			grown := 100 * (float64(g.Fuel)/max(1, float64(w.Fuel)) - 1)
			add(n, "fuel", fmt.Sprintf("%d, at maximum %.0f", w.Fuel, limit), fmt.Sprintf("%d, %.1f %% more", g.Fuel, grown))
		}
	}
	return differences
}

// compactText returns JSON on one line: in a golden file it has several.
func compactText(text json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return string(text)
	}
	return b.String()
}

// compareLists compares lists as JSON, element by element.
func compareLists[T any](add func(attempt int, what, want, got string), attempt int, what string, want, got []T) {
	for i := range max(len(want), len(got)) {
		w, g := elementText(want, i), elementText(got, i)
		if !sameValue([]byte(w), []byte(g)) {
			add(attempt, fmt.Sprintf("%s[%d]", what, i), w, g)
		}
	}
}

func elementText[T any](list []T, i int) string {
	if i >= len(list) {
		return "none"
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(list[i]); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(b.String())
}

// sameValue reports whether two texts are equal, or JSON of the same value.
func sameValue(a, b []byte) bool {
	return bytes.Equal(a, b) || strictjson.Valid(a) && strictjson.Valid(b) && strictjson.Equal(a, b)
}
