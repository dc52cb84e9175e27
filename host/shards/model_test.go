package shards

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"pgregory.net/rapid"
)

// database is a Store in memory, with a log whose events have keys.
type database struct {
	t        *rapid.T
	body     []byte // of the document of p
	revision uint64
	keys     []string // of the events: that of Seq 1 is the first
	units    map[string]*unit
	changes  int // of the layout

	attempted []attempt
}

type unit struct {
	owner, epoch int // owner 0: free
	cursor       uint64
	found        bool
	outcome      map[uint64]bool // by Seq: final; ahead of the cursor
	retrying     map[uint64]bool // by Seq; also behind the cursor, once redriven
}

type attempt struct {
	number uint64 // of the generation
	seq    uint64
	final  bool
}

func (d *database) unit(name string) *unit {
	if d.units[name] == nil {
		d.units[name] = &unit{outcome: map[uint64]bool{}, retrying: map[uint64]bool{}}
	}
	return d.units[name]
}

func (d *database) generation() Generation {
	g := first()
	if d.body != nil {
		var err error
		if g, err = Decode(spec.SharedDocument{ID: "p", Body: d.body}); err != nil {
			d.t.Fatal(err)
		}
	}
	return g
}

func (d *database) Shared(context.Context, string) (list []spec.SharedDocument, err error) {
	if d.body != nil {
		list = append(list, spec.SharedDocument{Kind: Kind, ID: "p", Body: d.body, Revision: d.revision})
	}
	return list, nil
}

func (d *database) Share(_ context.Context, s spec.SharedDocument) (uint64, error) {
	if s.Revision != d.revision {
		return 0, fault.New(fault.Conflict, "changed")
	}
	d.body, d.revision = s.Body, d.revision+1
	return d.revision, nil
}

func (d *database) UnitStates(_ context.Context, units []string) (list []spec.UnitState, err error) {
	for _, name := range units {
		u := d.unit(name)
		s := spec.UnitState{Name: name, Cursor: u.cursor, Found: u.found, Open: len(u.retrying) > 0}
		if u.owner != 0 {
			s.Owner = fmt.Sprint(u.owner)
		}
		list = append(list, s)
	}
	return list, nil
}

func (d *database) free(units []string) error {
	for _, name := range units {
		if d.unit(name).owner != 0 {
			return fault.New(fault.Conflict, "not free")
		}
	}
	for _, name := range units {
		d.unit(name).epoch++
	}
	return nil
}

func (d *database) CutUnits(ctx context.Context, units []string, document func(cut uint64) spec.SharedDocument) error {
	if err := d.free(units); err != nil {
		return err
	}
	var cut uint64
	for _, name := range units {
		u := d.unit(name)
		cut = max(cut, u.cursor)
		for seq := range u.outcome {
			cut = max(cut, seq)
		}
		for seq := range u.retrying {
			cut = max(cut, seq)
		}
	}
	_, err := d.Share(ctx, document(cut))
	return err
}

func (d *database) BeginUnits(ctx context.Context, former, next []string, cut uint64, s spec.SharedDocument) error {
	for _, name := range former {
		if u := d.unit(name); u.cursor < cut || len(u.retrying) > 0 {
			return fault.New(fault.Conflict, "not done")
		}
	}
	if err := d.free(former); err != nil {
		return err
	}
	lowest := d.unit(former[0]).cursor
	for _, name := range former {
		lowest = min(lowest, d.unit(name).cursor)
	}
	for _, name := range former {
		d.unit(name).found, d.unit(name).cursor = false, 0
	}
	for _, name := range next {
		d.unit(name).found, d.unit(name).cursor, d.unit(name).outcome = true, lowest, map[uint64]bool{}
	}
	d.changes++
	_, err := d.Share(ctx, s)
	return err
}

func (d *database) EndUnits(context.Context, []string, spec.SharedDocument) error {
	d.t.Fatal("the handler is forgotten, although hosts have it")
	return nil
}

// host is one that follows the document, late.
type host struct {
	id    int
	db    *database
	known *Generations
	wants Layout
	owned map[string]tenure
}

// tenure is how a host runs a unit.
type tenure struct {
	epoch int
	g     Generation // as it was when the host acquired the unit
}

// take acquires a unit that the host believes to be of the layout.
func (h *host) take(name string) {
	u := h.db.unit(name)
	if u.owner != 0 || !slices.Contains(h.known.Of("p").Units("p"), name) {
		return
	}
	u.owner, u.epoch = h.id, u.epoch+1
	g, err := h.known.Read(context.Background(), "p")
	if err != nil || !slices.Contains(g.Units("p"), name) {
		u.owner = 0
		return
	}
	h.owned[name] = tenure{u.epoch, g}
	for other, t := range h.owned {
		if h.valid(other) && t.g.Number != g.Number {
			h.db.t.Fatalf("host %d runs %s of generation %d beside %s of generation %d", h.id, other, t.g.Number, name, g.Number)
		}
	}
}

// valid reports whether a write for the unit is stored: also after the unit was lost, until the
// next epoch.
func (h *host) valid(name string) bool { return h.db.unit(name).epoch == h.owned[name].epoch }

// run attempts the next event of a unit, or one that waits for a retry.
func (h *host) run(name string, retry, fails bool) {
	if !h.valid(name) {
		delete(h.owned, name)
		return
	}
	u, g := h.db.unit(name), h.owned[name].g
	shard, _ := spec.ShardOf(name)
	mine := func(seq uint64) bool { return g.Layout.Shard(h.db.keys[seq-1], seq) == shard }
	pending := func(seq uint64) bool { return mine(seq) && !u.outcome[seq] && !u.retrying[seq] }
	blocked := func(seq uint64) bool { // an earlier event of its key waits
		key := h.db.keys[seq-1]
		for other := range u.retrying {
			if key != "" && other < seq && h.db.keys[other-1] == key {
				return true
			}
		}
		return false
	}
	last := uint64(len(h.db.keys))
	if until := g.Until(); until > 0 {
		last = min(last, until)
	}
	attempted := uint64(0)
	if retry {
		for seq := range u.retrying {
			if !blocked(seq) {
				attempted = max(attempted, seq)
			}
		}
	} else {
		for seq := u.cursor + 1; seq <= last && attempted == 0; seq++ {
			if pending(seq) && !blocked(seq) {
				attempted = seq
			}
		}
	}
	if attempted > 0 {
		h.db.attempted = append(h.db.attempted, attempt{g.Number, attempted, !fails})
		delete(u.retrying, attempted)
		if fails {
			u.retrying[attempted] = true
		} else {
			u.outcome[attempted] = true
		}
	}
	for seq := u.cursor + 1; seq <= last && !pending(seq) && !u.retrying[seq]; seq++ {
		u.cursor = seq
	}
}

// TestModel lets hosts that follow late, that are lost and that change their minds run a handler
// over one database, while the coordinator steps and crashes: every event is final once, in the
// order of its key, under one layout.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		d := &database{t: t, units: make(map[string]*unit)}
		d.unit("p").found = true
		layouts := []Layout{New(1, ""), New(2, "/a"), New(3, "/a"), New(3, "/b"), New(4, "")}
		var hosts []*host
		for id := range 3 {
			hosts = append(hosts, &host{id + 1, d, NewGenerations(d), layouts[0], make(map[string]tenure)})
		}
		now := time.Unix(0, 0)
		c := &Coordinator{Store: d, Logger: slog.New(slog.DiscardHandler), Steady: time.Nanosecond, Now: func() time.Time { return now }, Wishes: func() Wishes {
			w := Wishes{Layouts: make(map[string][]Layout)}
			for _, h := range hosts {
				w.Layouts["p"] = append(w.Layouts["p"], h.wants)
			}
			return w
		}}
		step := func() {
			now = now.Add(time.Second)
			if err := c.Step(ctx); err != nil {
				t.Fatal(err)
			}
		}
		anyHost := func(t *rapid.T) *host { return rapid.SampledFrom(hosts).Draw(t, "host") }
		follow := func(h *host) {
			if _, err := h.known.Follow(ctx); err != nil {
				t.Fatal(err)
			}
			for name := range h.owned { // it gives away what it may not run
				if !slices.Contains(h.known.Of("p").Units("p"), name) {
					if d.unit(name).owner == h.id {
						d.unit(name).owner = 0
					}
					delete(h.owned, name)
				}
			}
		}
		takeAll := func(h *host) {
			for _, name := range h.known.Of("p").Units("p") {
				h.take(name)
			}
		}
		runOne := func(t *rapid.T, h *host, fails bool) {
			names := slices.Sorted(func(yield func(string) bool) {
				for name := range h.owned {
					if !yield(name) {
						return
					}
				}
			})
			if len(names) > 0 {
				h.run(rapid.SampledFrom(names).Draw(t, "unit"), rapid.Bool().Draw(t, "retry"), fails)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				d.keys = append(d.keys, rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "key"))
			},
			"follow": func(t *rapid.T) { follow(anyHost(t)) },
			"take":   func(t *rapid.T) { takeAll(anyHost(t)) },
			"run":    func(t *rapid.T) { runOne(t, anyHost(t), false) },
			"fail":   func(t *rapid.T) { runOne(t, anyHost(t), true) },
			"lose": func(t *rapid.T) { // the host goes on until its first write in another epoch
				h := anyHost(t)
				for name := range h.owned {
					if d.unit(name).owner == h.id {
						d.unit(name).owner = 0
					}
				}
			},
			"want": func(t *rapid.T) {
				l := rapid.SampledFrom(layouts).Draw(t, "layout")
				for _, h := range hosts[:rapid.IntRange(1, len(hosts)).Draw(t, "hosts")] {
					h.wants = l
				}
			},
			"step":    func(*rapid.T) { step() },
			"wait":    func(*rapid.T) { now = now.Add(10 * time.Second) },
			"restart": func(*rapid.T) { c.observed = nil },
			"":        func(*rapid.T) {},
		})
		want := hosts[0].wants
		now = now.Add(maxPause)
		for range 20 + 4*len(d.keys) {
			for _, h := range hosts {
				h.wants = want
				follow(h)
				takeAll(h)
				for name := range h.owned {
					h.run(name, true, false)
					h.run(name, false, false)
				}
			}
			step()
		}
		if g := d.generation(); g.Layout != want || g.Stage != Running || g.Number != uint64(d.changes) {
			t.Fatalf("got %+v after %d changes, want %+v", g, d.changes, want)
		}
		judge(t, d)
	})
}

// judge checks what was attempted.
func judge(t *rapid.T, d *database) {
	final, newest, last := make(map[uint64]bool), make(map[string]uint64), uint64(0)
	generation := make(map[uint64]uint64)
	for _, a := range d.attempted {
		key := d.keys[a.seq-1]
		if a.number < last {
			t.Fatalf("event %d is attempted in generation %d after one of %d", a.seq, a.number, last)
		}
		last = a.number
		if g, found := generation[a.seq]; found && g != a.number {
			t.Fatalf("event %d is attempted in generations %d and %d", a.seq, g, a.number)
		}
		generation[a.seq] = a.number
		if key != "" && a.seq < newest[key] || final[a.seq] {
			t.Fatalf("event %d of key %q is attempted after %d; final %v", a.seq, key, newest[key], final[a.seq])
		}
		newest[key] = a.seq
		final[a.seq] = a.final
	}
	for seq := range d.keys {
		if !final[uint64(seq)+1] {
			t.Fatalf("event %d is not final", seq+1)
		}
	}
}
