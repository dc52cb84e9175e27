package event_test

import (
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

func TestParseTime(t *testing.T) {
	at := func(ns int) time.Time { return time.Date(2026, 5, 1, 10, 0, 0, ns, time.UTC) }
	for text, want := range map[string]time.Time{
		"2026-05-01T10:00:00Z":            at(0),
		"2026-05-01t10:00:00z":            at(0),
		"2026-05-01T12:00:00+02:00":       at(0),
		"2026-05-01T10:00:00-00:00":       at(0),
		"2026-05-01T10:00:00.5Z":          at(5e8),
		"2026-05-01T10:00:00.123456789Z":  at(123456789),
		"2026-05-01T10:00:00.1234567891Z": at(123456789),
		"2016-12-31T23:59:60Z":            time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC),
		"2016-12-31T18:59:60.5-05:00":     time.Date(2017, 1, 1, 0, 0, 0, 5e8, time.UTC),
		"1970-01-01T00:00:00Z":            time.Unix(0, 0).UTC(),
		"9999-12-31T23:59:59Z":            time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		"2024-02-29T00:00:00Z":            time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC),
		"1969-12-31T23:00:00-01:00":       time.Unix(0, 0).UTC(),
		"":                                {},
		"0001-01-01T00:00:00Z":            {},
		"1969-12-31T23:59:59Z":            {},
		"9999-12-31T23:59:59-00:01":       {},
		"1970-01-01T00:00:00+00:01":       {},
		"2026-05-01T10:00:00":             {},
		"2026-05-01 10:00:00Z":            {},
		"2026-05-01T10:00:00,5Z":          {},
		"2026-05-01T1:00:00Z":             {},
		"2026-05-01T24:00:00Z":            {},
		"2026-05-01T10:00:60Z":            {},
		"2026-05-01T10:00:00+24:00":       {},
		"2025-02-29T00:00:00Z":            {},
		"2026-05-01T10:00:00.Z":           {},
		"+2026-05-01T10:00:00Z":           {},
		" 2026-05-01T10:00:00Z":           {},
		"2026-05-01T10:00:00Z\n":          {},
		"1777629600":                      {},
	} {
		got, err := event.ParseTime(text)
		if want.IsZero() {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%q: got %v, %v, want it refused", text, got, err)
			}
			continue
		}
		if err != nil || !got.Equal(want) || got.Location() != time.UTC || got.IsZero() {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
}
