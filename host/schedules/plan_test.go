package schedules_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/schedules"
	"github.com/berth-host/berth/host/spec"
)

func plan(t testing.TB, s spec.Schedule) *schedules.Plan {
	t.Helper()
	p, err := schedules.NewPlan(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestDueTimes has the rules for clocks that change. In Berlin they skip 02:00 to 03:00 on
// 2026-03-29 and repeat it on 2026-10-25; on Lord Howe Island they change by half an hour; Samoa skipped
// the 30th of December 2011.
func TestDueTimes(t *testing.T) {
	const berlin = "Europe/Berlin"
	for name, tt := range map[string]struct {
		schedule spec.Schedule
		after    string
		want     string // in UTC
	}{
		"daily":                            {spec.Schedule{Cron: "0 3 * * *"}, "2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z 2026-01-03T03:00:00Z"},
		"descriptor":                       {spec.Schedule{Cron: "@weekly"}, "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z 2026-01-11T00:00:00Z"},
		"leap day":                         {spec.Schedule{Cron: "0 0 29 2 *"}, "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z 2032-02-29T00:00:00Z"},
		"zone":                             {spec.Schedule{Cron: "0 3 * * *", Zone: berlin}, "2026-07-01T00:00:00Z", "2026-07-01T01:00:00Z 2026-07-02T01:00:00Z"},
		"skipped, once at its end":         {spec.Schedule{Cron: "30 2 * * *", Zone: berlin}, "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z 2026-03-30T00:30:00Z"},
		"skipped, many times, once":        {spec.Schedule{Cron: "*/10 2 * * *", Zone: berlin}, "2026-03-29T00:59:00Z", "2026-03-29T01:00:00Z 2026-03-30T00:00:00Z"},
		"skipped, every hour":              {spec.Schedule{Cron: "30 * * * *", Zone: berlin}, "2026-03-29T00:00:00Z", "2026-03-29T00:30:00Z 2026-03-29T01:30:00Z"},
		"twice, the first":                 {spec.Schedule{Cron: "30 2 * * *", Zone: berlin}, "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z 2026-10-26T01:30:00Z"},
		"twice, in the second":             {spec.Schedule{Cron: "30 2 * * *", Zone: berlin}, "2026-10-25T00:45:00Z", "2026-10-26T01:30:00Z"},
		"twice, in the second, after it":   {spec.Schedule{Cron: "45 2 * * *", Zone: berlin}, "2026-10-25T01:10:00Z", "2026-10-26T01:45:00Z"},
		"twice, every hour":                {spec.Schedule{Cron: "30 * * * *", Zone: berlin}, "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z 2026-10-25T01:30:00Z 2026-10-25T02:30:00Z"},
		"twice, every quarter":             {spec.Schedule{Cron: "*/15 0-23 * * *", Zone: berlin}, "2026-10-25T00:40:00Z", "2026-10-25T00:45:00Z 2026-10-25T01:00:00Z 2026-10-25T01:15:00Z"},
		"the hour of the change, twice":    {spec.Schedule{Cron: "0 2 * * *", Zone: berlin}, "2026-10-24T23:59:00Z", "2026-10-25T00:00:00Z 2026-10-26T01:00:00Z"},
		"after the second":                 {spec.Schedule{Cron: "0 3 * * *", Zone: berlin}, "2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"},
		"half an hour, skipped":            {spec.Schedule{Cron: "15 2 * * *", Zone: "Australia/Lord_Howe"}, "2026-10-03T00:00:00Z", "2026-10-03T15:30:00Z 2026-10-04T15:15:00Z"},
		"half an hour, twice":              {spec.Schedule{Cron: "45 1 * * *", Zone: "Australia/Lord_Howe"}, "2026-04-04T00:00:00Z", "2026-04-04T14:45:00Z 2026-04-05T15:15:00Z"},
		"half an hour, every 20 minutes":   {spec.Schedule{Cron: "*/20 * * * *", Zone: "Australia/Lord_Howe"}, "2026-10-03T15:10:00Z", "2026-10-03T15:40:00Z 2026-10-03T16:00:00Z"},
		"a skipped day":                    {spec.Schedule{Cron: "0 9 * * *", Zone: "Pacific/Apia"}, "2011-12-29T20:00:00Z", "2011-12-30T10:00:00Z 2011-12-30T19:00:00Z"},
		"every":                            {spec.Schedule{Every: 90 * time.Second}, "2026-01-01T00:00:01Z", "2026-01-01T00:01:30Z 2026-01-01T00:03:00Z"},
		"every, aligned to the epoch":      {spec.Schedule{Every: 7 * 24 * time.Hour}, "2026-01-01T00:00:00Z", "2026-01-08T00:00:00Z"},
		"every, before the epoch":          {spec.Schedule{Every: 10 * time.Second}, "1969-12-31T23:59:55Z", "1970-01-01T00:00:00Z"},
		"every, far before the epoch":      {spec.Schedule{Every: 10 * time.Second}, "1969-12-31T23:59:45Z", "1969-12-31T23:59:50Z 1970-01-01T00:00:00Z"},
		"day of the week or of the month":  {spec.Schedule{Cron: "0 0 13 * 5"}, "2026-02-01T00:00:00Z", "2026-02-06T00:00:00Z 2026-02-13T00:00:00Z"},
		"second of a due time is excluded": {spec.Schedule{Cron: "* * * * *"}, "2026-02-01T00:00:00Z", "2026-02-01T00:01:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			p, now := plan(t, tt.schedule), at(t, tt.after)
			for _, want := range strings.Fields(tt.want) {
				if now = p.Next(now); now.Format(time.RFC3339) != want || now.Location() != time.UTC {
					t.Fatalf("got %v, want %s", now, want)
				}
			}
		})
	}
}

func TestPlansAreRefused(t *testing.T) {
	for _, tt := range []struct {
		schedule    spec.Schedule
		field, want string
	}{
		{spec.Schedule{}, "", "needs cron or every"},
		{spec.Schedule{Cron: "@daily", Every: time.Hour}, "every", "together with cron"},
		{spec.Schedule{Cron: "0 0 30 2 *"}, "cron", "never fires"},
		{spec.Schedule{Cron: "0 0 31 4,6,9,11 *", Zone: "Asia/Tokyo"}, "cron", "never fires"},
		{spec.Schedule{Cron: "* * 31 2 *"}, "cron", "never fires"},
		{spec.Schedule{Cron: "0 3 * *"}, "cron", "five fields"},
		{spec.Schedule{Cron: "0 0 3 * * *"}, "cron", "five fields"},
		{spec.Schedule{Cron: "0 25 * * *"}, "cron", "above maximum"},
		{spec.Schedule{Cron: "@reboot"}, "cron", "unrecognized descriptor"},
		{spec.Schedule{Cron: "@every 1h"}, "cron", "write it as every"},
		{spec.Schedule{Cron: "TZ=Europe/Berlin 0 3 * * *"}, "cron", "put it into zone"},
		{spec.Schedule{Cron: "CRON_TZ=x"}, "cron", "put it into zone"},
		{spec.Schedule{Cron: "2020-01-31T08:00:00Z"}, "cron", "is a time in the past"},
		{spec.Schedule{Cron: "2920-01-31T08:00:00Z"}, "cron", "metadata.deliver_at"},
		{spec.Schedule{Cron: "@daily", Zone: "Europe/Atlantis"}, "zone", "there is no time zone"},
		{spec.Schedule{Cron: "@daily", Zone: "../../etc/passwd"}, "zone", "there is no time zone"},
		{spec.Schedule{Cron: "@daily", Zone: "Local"}, "zone", "not Local"},
		{spec.Schedule{Every: time.Hour, Zone: "UTC"}, "zone", "belongs to cron"},
		{spec.Schedule{Every: time.Millisecond}, "every", "must be 1s to"},
		{spec.Schedule{Every: -time.Hour}, "every", "must be 1s to"},
		{spec.Schedule{Every: 10000 * time.Hour}, "every", "must be 1s to"},
		{spec.Schedule{Every: 1500 * time.Millisecond}, "every", "whole seconds"},
	} {
		_, err := schedules.NewPlan(tt.schedule)
		var wrong *fault.Error
		if !errors.As(err, &wrong) || wrong.Code != fault.Invalid || wrong.Field != tt.field || !strings.Contains(wrong.Reason, tt.want) {
			t.Errorf("%+v: got %v, want %s in %q", tt.schedule, err, tt.want, tt.field)
		}
	}
}

// TestHourlyPlansFollowTheLocalClock compares with every minute of a year: a schedule for all hours is
// due exactly when the local clock shows its time.
func TestHourlyPlansFollowTheLocalClock(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		p := plan(t, spec.Schedule{Cron: "7,40 * * * *", Zone: name})
		next := p.Next(at(t, "2026-01-01T00:00:00Z"))
		for now := at(t, "2026-01-01T00:01:00Z"); now.Year() == 2026; now = now.Add(time.Minute) {
			minute := now.In(zone).Minute()
			if due := minute == 7 || minute == 40; due != next.Equal(now) {
				t.Fatalf("%s: at %v the next due time is %v", name, now.In(zone), next)
			}
			if next.Equal(now) {
				next = p.Next(now)
			}
		}
	}
}

// TestDailyPlansFireOnceADay holds for every zone and time of the day that a schedule is due once on each
// local day of a year.
func TestDailyPlansFireOnceADay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"Europe/Berlin", "America/New_York", "America/St_Johns", "Australia/Lord_Howe", "America/Santiago",
			"Africa/Cairo", "Asia/Beirut", "Pacific/Chatham"}).Draw(t, "zone")
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		minute := rapid.IntRange(0, 24*60-1).Draw(t, "minute")
		p, err := schedules.NewPlan(spec.Schedule{Cron: fmt.Sprintf("%d %d * * *", minute%60, minute/60), Zone: name})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Date(2025, 12, 31, 23, 59, 59, 0, zone)
		for day := 1; day <= 365; day++ {
			now = p.Next(now)
			if local := now.In(zone); local.YearDay() != day || local.Year() != 2026 {
				t.Fatalf("%s, minute %d: the due time of day %d is %v", name, minute, day, local)
			}
		}
	})
}

func TestBetween(t *testing.T) {
	for _, s := range []spec.Schedule{{Every: 7 * time.Second}, {Cron: "*/3 * * * *"}, {Cron: "0 2,14 * * *", Zone: "Europe/Berlin"}} {
		p := plan(t, s)
		rapid.Check(t, func(t *rapid.T) {
			after := time.Unix(1_774_740_000+rapid.Int64Range(0, 200_000).Draw(t, "after"), rapid.Int64Range(0, 1e9-1).Draw(t, "part"))
			until := after.Add(time.Duration(rapid.Int64Range(-60, 20_000).Draw(t, "seconds")) * time.Second)
			limit := rapid.IntRange(1, 40).Draw(t, "limit")
			var want []time.Time
			for due := p.Next(after); !due.After(until); due = p.Next(due) {
				want = append(want, due)
			}
			got, total := p.Between(after, until, limit)
			if total != len(want) || len(got) != min(limit, total) {
				t.Fatalf("got %d of %d, want %d", len(got), total, len(want))
			}
			for i, due := range got {
				if !due.Equal(want[len(want)-len(got)+i]) {
					t.Fatalf("got %v, want the newest of %v", got, want)
				}
			}
		})
	}
}

func FuzzPlan(f *testing.F) {
	f.Add("0 3 * * *", "Europe/Berlin", int64(0))
	f.Add("*/15 0-23 1,15 jan-mar mon", "Australia/Lord_Howe", int64(1_774_740_000))
	f.Add("TZ=", "", int64(0))
	f.Fuzz(func(t *testing.T, text, zone string, unix int64) {
		p, err := schedules.NewPlan(spec.Schedule{Cron: text, Zone: zone})
		if text == "" || err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("got %v, want invalid", err)
			}
			return
		}
		now := time.Unix(unix%(1<<33), 0)
		for range 20 {
			next := p.Next(now)
			if next.IsZero() {
				return
			}
			if !next.After(now) {
				t.Fatalf("%v comes after %v", next, now)
			}
			now = next
		}
	})
}
