package eventtypes

import (
	"math"
	"time"

	"github.com/berth-host/berth/host/event"
)

const (
	minutes  = 60
	maxRates = 1000 // types with a rate
)

// rates counts the events of the newest hour by type, in buckets of a minute.
type rates struct {
	since time.Time
	types map[event.Type]*[minutes]bucket
}

// bucket counts the events of one minute.
type bucket struct {
	minute int64 // since 1970
	count  uint64
}

func newRates(now time.Time) rates {
	return rates{since: now, types: make(map[event.Type]*[minutes]bucket)}
}

func (r *rates) note(records []event.Record, now time.Time) {
	minute := now.Unix() / 60
	for _, rec := range records {
		typ := rec.Event.Type()
		buckets := r.types[typ]
		if buckets == nil {
			if len(r.types) >= maxRates {
				r.evict(minute)
			}
			if len(r.types) >= maxRates {
				continue
			}
			buckets = new([minutes]bucket)
			r.types[typ] = buckets
		}
		b := &buckets[uint64(minute)%minutes]
		if b.minute != minute {
			*b = bucket{minute: minute}
		}
		b.count++
	}
}

// evict removes the types without an event in the newest hour.
func (r *rates) evict(minute int64) {
	for typ, buckets := range r.types {
		if sum(buckets, minute) == 0 {
			delete(r.types, typ)
		}
	}
}

func sum(buckets *[minutes]bucket, minute int64) (n uint64) {
	for _, b := range buckets {
		if b.minute > minute-minutes && b.minute <= minute {
			n += b.count
		}
	}
	return n
}

// perMinute returns the mean rates of the types with events in the newest hour, rounded to
// three digits.
func (r *rates) perMinute(now time.Time) map[event.Type]float64 {
	span := min(max(now.Sub(r.since), time.Minute), minutes*time.Minute).Minutes()
	list := make(map[event.Type]float64, len(r.types))
	for typ, buckets := range r.types {
		if n := sum(buckets, now.Unix()/60); n > 0 {
			list[typ] = math.Round(float64(n)/span*1000) / 1000
		}
	}
	return list
}
