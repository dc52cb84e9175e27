package repair

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/event/pack"
	"github.com/berth-host/berth/host/store/pages"
)

// Report is the result of a repair.
type Report struct {
	Path     string    `json:"path"`   // the damaged data file
	Output   string    `json:"output"` // the new one
	Pages    uint32    `json:"pages"`
	Damaged  int       `json:"damaged_pages"`
	WAL      pages.WAL `json:"wal"`
	Last     uint64    `json:"last_seq"` // new events get higher Seqs
	Exported []Count   `json:"exported"`
	Lost     []Loss    `json:"lost"`
	Events   []Range   `json:"lost_events"`
	Handlers []Moved   `json:"handlers"`
	Doubtful []string  `json:"doubtful"` // entries whose value may be damaged, the first 20

	kept map[string]uint64 // by table
	// By table, the entries of pages whose newest content is lost, and of pages that may be
	// free: without the header and the map of pages nothing says which are.
	outdated, uncertain map[string]uint64
}

// Count is the number of exported entries of a table.
type Count struct {
	Table   string `json:"table"`
	Entries uint64 `json:"entries"`
}

// Loss describes what is lost of one kind.
type Loss struct {
	What   string `json:"what"`
	Count  uint64 `json:"count"` // 0 when it is not known
	Detail string `json:"detail"`
}

// Moved is a handler that may get events again.
type Moved struct {
	Handler string `json:"handler"`
	Cursor  uint64 `json:"cursor"` // it continues after this Seq
	Reason  string `json:"reason"`
}

// Lossless reports whether nothing is lost and no handler gets events again.
func (r *Report) Lossless() bool { return len(r.Lost)+len(r.Handlers)+len(r.Doubtful) == 0 }

func (r *Report) count(table string) { r.add(table, 1) }

func (r *Report) add(table string, n uint64) {
	if r.kept == nil {
		r.kept = make(map[string]uint64)
	}
	r.kept[table] += n
}

func (r *Report) entries() (n uint64) {
	for _, k := range r.kept {
		n += k
	}
	return n
}

const maxExamples = 20

func (r *Report) doubt(what string) {
	if len(r.Doubtful) < maxExamples {
		r.Doubtful = append(r.Doubtful, what)
	}
}

func (r *Report) lose(what string, n uint64, detail string) {
	r.Lost = append(r.Lost, Loss{what, n, detail})
}

func (r *Report) moved(handler string, to uint64, reason string) {
	r.Handlers = append(r.Handlers, Moved{handler, to, reason})
}

// old counts entries that may not be the newest.
func (r *Report) old(table string, n uint64, uncertain bool) {
	if r.outdated == nil {
		r.outdated, r.uncertain = make(map[string]uint64), make(map[string]uint64)
	}
	if uncertain {
		r.uncertain[table] += n
	} else {
		r.outdated[table] += n
	}
}

// loseOld reports the entries that may not be the newest.
func (r *Report) loseOld() {
	for _, table := range slices.Sorted(maps.Keys(r.outdated)) {
		r.lose(table, 0, fmt.Sprintf("%d entries of %s are as they were before the last changes, which are lost", r.outdated[table], table))
	}
	for _, table := range slices.Sorted(maps.Keys(r.uncertain)) {
		r.lose(table, 0, fmt.Sprintf("%d entries of %s are from pages that may have been free: deleted entries and older values can be among "+
			"them", r.uncertain[table], table))
	}
}

// loseEvents reports lost events. exact: each Seq had one.
func (r *Report) loseEvents(lost []Range, exact bool) {
	if len(lost) == 0 {
		return
	}
	r.Events = append(r.Events, lost...)
	var parts []string
	for i, part := range lost {
		if i == maxExamples {
			parts = append(parts, fmt.Sprintf("and %d more ranges", len(lost)-i))
			break
		}
		parts = append(parts, part.String())
	}
	detail := "events " + strings.Join(parts, ", ") + ": unreadable"
	if count(lost) == 1 {
		detail = "event " + parts[0] + ": unreadable"
	}
	if !exact {
		detail += " (at most: some of these Seqs may never have had an event)"
	}
	r.lose("events", count(lost), detail)
}

// lost says how many of something are lost: of one, or of more. Unless exact, n is the
// number of those that are known.
func lost(n uint64, exact bool, one, more string) string {
	const unknown = "; how many is not known, because the index is damaged, too"
	switch {
	case exact && n == 1:
		return "1 " + one + " is lost"
	case exact:
		return fmt.Sprintf("%d %s are lost", n, more)
	case n == 0:
		return more + " may be lost" + unknown
	}
	return fmt.Sprintf("at least %d %s lost", n, map[bool]string{true: one + " is", false: more + " are"}[n == 1]) + unknown
}

// loseNamed reports lost entries of a table by their keys.
func (r *Report) loseNamed(table string, n uint64, exact bool, examples []string) {
	if n == 0 && exact {
		return
	}
	detail := lost(n, exact, "entry of "+table, "entries of "+table)
	if len(examples) > 0 {
		detail += ": " + strings.Join(examples, ", ")
		if uint64(len(examples)) < n {
			detail += ", …"
		}
	}
	r.lose(table, n, detail)
}

// loseDeliveries reports lost deliveries. again is how many of them were open or dead
// letters, and are made again.
func (r *Report) loseDeliveries(n, again uint64, exact bool) {
	if n == 0 && exact {
		return
	}
	detail := lost(n, exact, "record of a delivery", "records of deliveries")
	if again > 0 {
		detail += fmt.Sprintf("; %d of them to be attempted again, or dead letters, and so still", again)
	}
	r.lose("deliveries", n, detail)
}

// loseBlocks reports lost blocks of results.
func (r *Report) loseBlocks(n uint64, exact bool, examples []string) {
	if n == 0 && exact {
		return
	}
	results := fmt.Sprintf("of up to %d results of successes", pack.MaxOutcomes)
	detail := lost(n, exact, "block "+results, "blocks "+results)
	if len(examples) > 0 {
		detail += ": " + strings.Join(examples, ", ")
	}
	r.lose("results", n, detail+"; events of them above a handler's position are delivered again, the others are shown as ok without their result")
}
