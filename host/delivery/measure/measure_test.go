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

// counted is a Source.
type counted struct {
	version string
	ok      uint64
	ready   int
}

func (c *counted) AddTo(v *Versions) (ready int) {
	v.Add(c.version, &Counts{OK: c.ok})
	return c.ready
}

// TestShardsAreCountedForTheirPlugin: the versions of a shard have the same ready events, and each
// shard has its own.
func TestShardsAreCountedForTheirPlugin(t *testing.T) {
	var r Registry
	list := []struct {
		handler string
		*counted
	}{
		{"p/0", &counted{"old", 1, 3}}, {"p/1", &counted{"old", 2, 4}}, {"p/0", &counted{"new", 4, 3}}, {"p/1", &counted{"new", 8, 4}},
		{"q", &counted{"old", 16, 5}}, {"q", &counted{"new", 32, 5}},
	}
	for _, s := range list {
		r.Begin(s.handler, s.counted)
	}
	check := func(plugin string, older, newer uint64, want int) {
		t.Helper()
		v, ready := r.Of(plugin)
		if len(v) != 2 || ready != want {
			t.Fatalf("%s: got %d versions and %d ready events, want %d", plugin, len(v), ready, want)
		}
		for _, one := range v {
			if n := map[string]uint64{"old": older, "new": newer}[one.SHA256]; one.Counts.OK != n {
				t.Errorf("%s: version %s has %d, want %d", plugin, one.SHA256, one.Counts.OK, n)
			}
		}
	}
	check("p", 3, 12, 7)
	check("q", 16, 32, 5)
	r.End("p/0", list[0].counted)
	r.End("p/1", list[3].counted)
	check("p", 3, 12, 7)
	r.End("p/1", list[1].counted)
	check("p", 3, 12, 3)
}
