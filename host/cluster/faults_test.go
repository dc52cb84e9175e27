package cluster_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-host/berth/host/cluster"
)

func unitNames(n int) []string {
	units := []string{":jobs"}
	for i := range n {
		units = append(units, fmt.Sprintf("enrich/%d", i))
	}
	return append(units, "audit", "mail")
}

// TestNoTwoHostsOwnOneUnit runs hosts through random faults: killed and started again, stopped like by
// SIGSTOP, cut off in one or both directions, slow, a database that does not answer, drained, ended.
// At no moment two of them have a valid tenure of one unit, no two attempts of a unit overlap except with
// one on a stopped host, and no write of an epoch is accepted after one of a later epoch. Within 5 s
// after the faults every unit runs again.
func TestNoTwoHostsOwnOneUnit(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulate(t, seed) })
		})
	}
}

func simulate(t *testing.T, seed uint64) {
	w := newWorld(t, seed)
	defer w.close()
	units := unitNames(6)
	n := 2 + int(seed%4)
	hosts := make([]*simHost, n)
	start := func(i int) *simHost {
		name := fmt.Sprint("host", i)
		if h := hosts[i]; h != nil && !h.killed && !h.gone() {
			name = fmt.Sprint(name, "-", len(w.hosts)) // the one before it is still leaving
		}
		return w.add(name, units, func(h *simHost, cfg *cluster.Config) {
			h.rate = 0.99 + 0.02*w.random.Float64()
			cfg.Hold = 5 * time.Second
		})
	}
	for i := range hosts {
		hosts[i] = start(i)
	}
	for range 3 {
		for range 15 {
			w.disturb(hosts, start)
			w.run(time.Duration(w.random.Int64N(int64(1500 * time.Millisecond))))
		}
		w.heal(hosts, start)
		w.await(5*time.Second, "every unit runs", w.allOwned(units))
	}
	c := w.counted()
	if c.accepted == 0 || c.attempts < c.accepted {
		t.Errorf("got %+v", c)
	}
	t.Logf("%d hosts: %+v", n, c)
}

// disturb begins or ends a fault.
func (w *world) disturb(hosts []*simHost, start func(int) *simHost) {
	i := w.random.IntN(len(hosts))
	h := hosts[i]
	if !h.live() {
		if w.random.IntN(2) == 0 {
			hosts[i] = start(i)
		}
		return
	}
	set := func(flag *bool, to bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		*flag = to
	}
	switch w.random.IntN(14) {
	case 0:
		h.kill()
	case 1:
		h.graceful = true
		h.stop()
	case 2, 3:
		h.pause()
	case 4, 5:
		h.resume()
	case 6:
		set(&h.cut, true)
	case 7:
		set(&h.deaf, true)
	case 8:
		set(&h.cut, false)
		set(&h.deaf, false)
		set(&h.slow, false)
	case 9:
		set(&w.down, w.random.IntN(2) == 0)
	case 10:
		h.cluster.SetDraining(w.random.IntN(2) == 0)
	case 11:
		h.setUnits(unitNames(6)[w.random.IntN(3):])
	case 12, 13:
		set(&h.slow, true)
	}
}

// heal ends all faults.
func (w *world) heal(hosts []*simHost, start func(int) *simHost) {
	w.mu.Lock()
	w.down = false
	for _, h := range hosts {
		h.cut, h.deaf, h.slow = false, false, false
	}
	w.mu.Unlock()
	for i, h := range hosts {
		if !h.live() {
			if i == 0 { // one at least lives
				hosts[i] = start(i)
			}
			continue
		}
		h.resume()
		h.cluster.SetDraining(false)
		h.setUnits(unitNames(6))
	}
}

// TestClocksOfOtherRates holds that the rates of clocks may differ: only attempts that are open
// already can overlap then.
func TestClocksOfOtherRates(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			defer w.close()
			units := unitNames(4)
			var hosts []*simHost
			for i, rate := range []float64{0.85, 1, 1.15} {
				hosts = append(hosts, w.add(fmt.Sprint("host", i), units, func(h *simHost, cfg *cluster.Config) {
					h.rate, h.length, cfg.Hold = rate, 0, time.Second
				}))
			}
			for range 12 {
				h := hosts[w.random.IntN(3)]
				w.mu.Lock()
				h.cut = !h.cut
				w.mu.Unlock()
				w.run(time.Duration(w.random.Int64N(int64(5 * time.Second))))
			}
		})
	}
}
