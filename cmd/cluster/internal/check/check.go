// Package check judges a run of several hosts by logs that were written outside of them: what
// publishers were acknowledged, what handlers wrote about their attempts, and what was done to
// the hosts. It imports nothing of the product, so that a defect of it is not judged by itself.
//
// Publishers number the events of a key 1, 2, 3 and so on, and publish one only after the one
// before was acknowledged. Times are those of one clock, since the start of the run.
package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Event is an event by its key and its number within the key.
type Event struct {
	Key string
	N   int
}

// Acknowledged is an event that a host has acknowledged, with the Seq it said.
type Acknowledged struct {
	Event
	Seq uint64
}

// What happened in an attempt.
type What string

// An attempt begins, and ends in one of three ways: Gone means that the handler was cut off.
const (
	Begin  What = "begin"
	End    What = "end"    // it succeeded
	Failed What = "failed" // it will ask for a retry
	Gone   What = "gone"
)

// Record is what a handler wrote about an attempt.
type Record struct {
	At      time.Duration
	Host    string
	Handler string
	Event
	Attempt int
	What    What
}

// Incident is what was done to a host.
type Incident struct {
	At   time.Duration
	Host string
	What Harm
}

// Harm is the kind of an incident.
type Harm string

// Killed hosts wrote nothing after it; stopped ones do not run until they continue; those
// that are cut off do not reach the database until it heals.
const (
	Killed    Harm = "killed"
	Stopped   Harm = "stopped"
	Continued Harm = "continued"
	Cut       Harm = "cut"
	Healed    Harm = "healed"
)

// Final is the outcome of an event as a host tells it at the end.
type Final struct {
	Event
	Handler string
	Status  string
}

// Log is everything that was written in a run.
type Log struct {
	Handlers     []string
	Acknowledged []Acknowledged
	Records      []Record
	Incidents    []Incident
	Finals       []Final
	// BeginFor is how long a host that is cut off may begin attempts.
	BeginFor time.Duration
	// PerKey says that hosts run parts of a handler, each for some keys: takeover and gap are those
	// of a key.
	PerKey bool
	// From and Until are the time in which publishers published events all the time.
	From, Until time.Duration
}

// Report is the judgement of a run. A run is right when Problems is empty.
type Report struct {
	Acknowledged int           // events
	Attempts     int           // that began
	Duplicates   int           // attempts that succeeded beside another one of the event and the handler
	Order        int           // attempts that began before an earlier event of the key was done
	Overlaps     int           // attempts of one key at the same time
	Losses       int           // acknowledged events that a handler did not finish
	Late         int           // attempts that a host began while it was cut off for too long
	Takeover     time.Duration // the longest one after a host was killed, stopped or cut off; 0 without one
	Gap          time.Duration // the longest time in which a handler began nothing while events were published; see Log.PerKey
	Problems     []string      // the first of each kind, for a person
}

// Right reports whether a run kept every guarantee. Duplicates are allowed.
func (r Report) Right() bool { return r.Order+r.Overlaps+r.Losses+r.Late == 0 && len(r.Problems) == 0 }

// Add adds another judgement of the same run, of other handlers.
func (r *Report) Add(other Report) {
	r.Attempts += other.Attempts
	r.Duplicates += other.Duplicates
	r.Order += other.Order
	r.Overlaps += other.Overlaps
	r.Losses += other.Losses
	r.Late += other.Late
	r.Problems = append(r.Problems, other.Problems...)
}

// attempt is an attempt with its end.
type attempt struct {
	Record
	end time.Duration
	how What // "" when nothing was written about its end
}

// lane is what happens in its order: the attempts of one handler for one key.
type lane struct{ handler, key string }

// Check judges a log.
func Check(log Log) Report {
	r := Report{Acknowledged: len(log.Acknowledged)}
	r.sequence(log.Acknowledged)
	lanes := r.attempts(log)
	names := make([]lane, 0, len(lanes))
	for name := range lanes {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b lane) int { return cmp.Or(cmp.Compare(a.handler, b.handler), cmp.Compare(a.key, b.key)) })
	done := make(map[string]map[Event]bool)
	for _, name := range names {
		if done[name.handler] == nil {
			done[name.handler] = make(map[Event]bool)
		}
		r.lane(name, lanes[name], done[name.handler])
	}
	r.losses(log, done)
	r.late(log)
	r.Takeover, r.Gap = takeover(log), gap(log)
	return r
}

const perKind = 3 // problems that are told of one kind

func (r *Report) problem(count *int, format string, args ...any) {
	if *count++; *count <= perKind {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// sequence checks that Seqs are different ones and grow within a key.
func (r *Report) sequence(list []Acknowledged) {
	wrong := 0
	at := make(map[uint64]Event)
	last := make(map[string]Acknowledged)
	for _, a := range list {
		if other, taken := at[a.Seq]; taken {
			r.problem(&wrong, "event %v has the Seq %d of event %v", a.Event, a.Seq, other)
		}
		at[a.Seq] = a.Event
		if before := last[a.Key]; a.N != before.N+1 || a.Seq <= before.Seq {
			r.problem(&wrong, "event %v has the Seq %d and follows %v with %d", a.Event, a.Seq, before.Event, before.Seq)
		}
		last[a.Key] = a
	}
}

// attempts pairs begins and ends, by lane and in the order of their begins.
func (r *Report) attempts(log Log) map[lane][]*attempt {
	records := slices.Clone(log.Records)
	slices.SortStableFunc(records, func(a, b Record) int { return cmp.Compare(a.At, b.At) })
	type identity struct {
		host, handler string
		Event
		attempt int
	}
	open := make(map[identity][]*attempt)
	lanes := make(map[lane][]*attempt)
	wrong := 0
	for _, rec := range records {
		id := identity{rec.Host, rec.Handler, rec.Event, rec.Attempt}
		if rec.What == Begin {
			a := &attempt{Record: rec, end: rec.At}
			r.Attempts++
			open[id] = append(open[id], a)
			name := lane{rec.Handler, rec.Key}
			lanes[name] = append(lanes[name], a)
			continue
		}
		last := len(open[id]) - 1 // one before may have been cancelled between two requests
		if last < 0 {
			r.problem(&wrong, "%s of %v on %s at %v, which has not begun", rec.What, rec.Event, rec.Host, rec.At)
			continue
		}
		open[id][last].end, open[id][last].how = rec.At, rec.What
		open[id] = open[id][:last]
	}
	for _, list := range lanes {
		for _, a := range list {
			a.cutAt(log.Incidents)
		}
	}
	return lanes
}

// cutAt ends an attempt at the moment at which its host was killed or stopped: what a stopped
// process does when it continues with an open attempt cannot be prevented.
func (a *attempt) cutAt(incidents []Incident) {
	for _, i := range incidents {
		if i.Host != a.Host || i.At < a.At {
			continue
		}
		if (i.What == Killed || i.What == Stopped) && (a.how == "" || i.At < a.end) {
			a.end = i.At
			return
		}
	}
}

// lane checks the attempts of one handler for one key, and adds the events that succeeded to
// done.
func (r *Report) lane(name lane, list []*attempt, done map[Event]bool) {
	finished := 0           // every event up to this number has succeeded
	var until time.Duration // the latest end of the attempts before
	succeeded := map[int]time.Duration{}
	for _, a := range list {
		for {
			at, ok := succeeded[finished+1]
			if !ok || at > a.At {
				break
			}
			finished++
		}
		if a.N > finished+1 {
			r.problem(&r.Order, "%s began event %v at %v on %s before event %d was done", name.handler, a.Event, a.At, a.Host, finished+1)
		}
		if a.At < until {
			r.problem(&r.Overlaps, "%s began event %v at %v on %s while another attempt of the key was open until %v", name.handler, a.Event, a.At, a.Host, until)
		}
		until = max(until, a.end)
		if a.how != End {
			continue
		}
		at, twice := succeeded[a.N]
		if twice {
			r.Duplicates++
		}
		if !twice || a.end < at {
			succeeded[a.N] = a.end
		}
		done[a.Event] = true
	}
}

// losses checks that every acknowledged event succeeded with every handler, by what the
// handler wrote and by what the hosts say.
func (r *Report) losses(log Log, done map[string]map[Event]bool) {
	type outcome struct {
		handler string
		Event
	}
	finals := make(map[outcome]string)
	for _, f := range log.Finals {
		finals[outcome{f.Handler, f.Event}] = f.Status
	}
	for _, a := range log.Acknowledged {
		for _, h := range log.Handlers {
			status := finals[outcome{h, a.Event}]
			switch {
			case status != "ok":
				r.problem(&r.Losses, "event %v (Seq %d) is %q with %s at the end", a.Event, a.Seq, status, h)
			case !done[h][a.Event]:
				r.problem(&r.Losses, "event %v (Seq %d) is ok with %s, which never finished it", a.Event, a.Seq, h)
			}
		}
	}
}

// late checks that a host begins nothing once it has been cut off for too long.
func (r *Report) late(log Log) {
	for _, i := range log.Incidents {
		if i.What != Cut {
			continue
		}
		until := after(log, i, Healed)
		for _, rec := range log.Records {
			if rec.Host == i.Host && rec.What == Begin && rec.At > i.At+log.BeginFor && rec.At < until {
				r.problem(&r.Late, "%s began event %v at %v, %v after it was cut off", rec.Host, rec.Event, rec.At, rec.At-i.At)
			}
		}
	}
}

// after returns when the harm to a host ended, or the end of time.
func after(log Log, i Incident, end Harm) time.Duration {
	for _, next := range log.Incidents {
		if next.Host == i.Host && next.What == end && next.At >= i.At {
			return next.At
		}
	}
	return 1<<63 - 1
}

// part returns what one host at a time runs: a handler, or a handler for a key.
func (log Log) part(r Record) lane {
	if log.PerKey {
		return lane{r.Handler, r.Key}
	}
	return lane{handler: r.Handler}
}

// begins returns the begins of each part of the handlers, in the order of their times.
func (log Log) begins() map[lane][]Record {
	begins := make(map[lane][]Record)
	for _, rec := range log.Records {
		if rec.What == Begin && slices.Contains(log.Handlers, rec.Handler) {
			begins[log.part(rec)] = append(begins[log.part(rec)], rec)
		}
	}
	for _, list := range begins {
		slices.SortStableFunc(list, func(a, b Record) int { return cmp.Compare(a.At, b.At) })
	}
	if !log.PerKey { // one that began nothing is all gap
		for _, h := range log.Handlers {
			if all := (lane{handler: h}); begins[all] == nil {
				begins[all] = nil
			}
		}
	}
	return begins
}

// takeover returns the longest time from an incident to the first attempt elsewhere, or on a killed
// host that was started again, of the parts that the host ran last before it.
func takeover(log Log) (longest time.Duration) {
	begins := log.begins()
	for _, i := range log.Incidents {
		if i.What != Killed && i.What != Stopped && i.What != Cut {
			continue
		}
		for _, list := range begins {
			owner, next := "", time.Duration(-1)
			var latest time.Duration = -1
			for _, rec := range list {
				switch {
				case rec.At <= i.At && rec.At > latest:
					owner, latest = rec.Host, rec.At
				case rec.At > i.At && (rec.Host != i.Host || i.What == Killed) && (next < 0 || rec.At < next):
					next = rec.At
				}
			}
			if owner == i.Host && next >= 0 {
				longest = max(longest, next-i.At)
			}
		}
	}
	return longest
}

// gap returns the longest time in which one of the parts began nothing, between From and Until.
func gap(log Log) (longest time.Duration) {
	for _, list := range log.begins() {
		last := log.From
		for _, rec := range list {
			if rec.At >= log.From && rec.At <= log.Until {
				longest, last = max(longest, rec.At-last), rec.At
			}
		}
		longest = max(longest, log.Until-last)
	}
	return longest
}
