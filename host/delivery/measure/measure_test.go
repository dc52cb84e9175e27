package measure

import (
	"fmt"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func TestCounts(t *testing.T) {
	var a, b Counts
	a.Attempt(time.Millisecond, 10)
	a.Failure(event.ClassTrap, false)
	b.Attempt(-1, 20)
	b.Attempt(time.Second, 30)
	b.Failure(event.ClassTrap, true)
	b.Failure(event.ClassTimeout, true)
	b.Success(noon.Add(time.Hour), noon) // of the future
	b.Success(noon, noon.Add(time.Second))
	b.OK, b.Retries = 2, 1
	a.Add(&b)
	if a.OK != 2 || a.Dead != 2 || a.Retries != 1 || a.Failures[event.ClassTrap] != 2 || a.Failures[event.ClassTimeout] != 1 {
		t.Errorf("got %d %d %d %v", a.OK, a.Dead, a.Retries, a.Failures)
	}
	if a.Duration.Count() != 3 || a.Duration.Sum() != uint64(time.Second+time.Millisecond) || a.Fuel.Sum() != 60 ||
		a.Latency.Count() != 2 || a.Latency.Sum() != uint64(time.Second) {
		t.Errorf("got %d of %d, fuel %d, latency %d", a.Duration.Count(), a.Duration.Sum(), a.Fuel.Sum(), a.Latency.Sum())
	}
}

// The counts of all versions together never decrease, however many there are.
func TestEarlierVersionsAreCountedTogether(t *testing.T) {
	var v Versions
	const n = 30
	for i := range n {
		c := Counts{OK: uint64(i)}
		c.Failure(event.ClassTrap, true)
		v.Add(fmt.Sprint(i), &c)
		v.Add(fmt.Sprint(i), &Counts{OK: 1})
	}
	ok, dead := uint64(0), uint64(0)
	clone := v.Clone()
	v.Add("29", &Counts{OK: 100, Failures: map[event.Class]uint64{event.ClassTrap: 9}})
	for _, one := range clone {
		ok += one.Counts.OK
		dead += one.Counts.Failures[event.ClassTrap]
	}
	if len(clone) != MaxVersions+1 || ok != n*(n-1)/2+n || dead != n {
		t.Errorf("%d versions, %d ok, %d dead", len(clone), ok, dead)
	}
	if last := clone[len(clone)-1]; last.SHA256 != "29" && clone[len(clone)-2].SHA256 != "29" {
		t.Errorf("the last is %s", last.SHA256)
	}
}

// BenchmarkSuccess measures what a plain success costs.
func BenchmarkSuccess(b *testing.B) {
	var c Counts
	at := noon.Add(time.Millisecond)
	for i := range b.N {
		c.Attempt(time.Duration(1000+i&1023), uint64(500+i&255))
		c.Success(noon, at.Add(time.Duration(i&4095)))
	}
}
