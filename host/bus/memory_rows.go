package bus

import (
	"time"

	"github.com/berth-host/berth/host/event"
)

// memoryRow is a delivery as it is kept.
type memoryRow struct {
	event.Delivery
	purged bool // a dead one that is no dead letter any more
}

// memoryRows are one handler's deliveries. Nearly all of them are successes at the
// first attempt, of events that follow one another: those are kept in pages, in a
// fifth of the memory, and without a look into a map for each.
type memoryRows struct {
	handler string
	pages   map[uint64]*memoryPage // by Seq / pageRows
	latest  *memoryPage            // the page that was written last
	plain   int                    // rows in pages
	full    map[uint64]memoryRow   // the others, by Seq
}

const pageRows = 16

type memoryPage struct {
	number uint64
	n      int // rows that are there
	rows   [pageRows]plainRow
}

// plainRow is a success at the first attempt.
type plainRow struct {
	at       int64 // unix ns; 0: there is no row here
	duration time.Duration
	fuel     uint64
	result   string
}

func newMemoryRows(handler string) *memoryRows {
	return &memoryRows{handler: handler, pages: make(map[uint64]*memoryPage), full: make(map[uint64]memoryRow)}
}

// isPlain reports whether all that d says fits into a plainRow.
func isPlain(d *event.Delivery) bool {
	return d.Status == event.StatusOK && d.Attempts == 1 && d.ErrorClass == "" && d.ErrorMessage == "" && d.Due.IsZero() &&
		d.FirstAttempt.Equal(d.At.Add(-d.Duration)) && d.At.UnixNano() != 0 && time.Unix(0, d.At.UnixNano()).Equal(d.At)
}

// len is how many there are. A nil *memoryRows has none.
func (m *memoryRows) len() int {
	if m == nil {
		return 0
	}
	return m.plain + len(m.full)
}

// put keeps a delivery in the place of the one with the same Seq. It has no children.
func (m *memoryRows) put(d *event.Delivery) {
	if !isPlain(d) {
		m.remove(d.Seq)
		row := memoryRow{Delivery: *d}
		row.At, row.Due, row.FirstAttempt = d.At.UTC(), d.Due.UTC(), d.FirstAttempt.UTC()
		m.full[d.Seq] = row
		return
	}
	if len(m.full) > 0 {
		delete(m.full, d.Seq)
	}
	number := d.Seq / pageRows
	page := m.latest
	if page == nil || page.number != number {
		if page = m.pages[number]; page == nil {
			page = &memoryPage{number: number}
			m.pages[number] = page
		}
		m.latest = page
	}
	row := &page.rows[d.Seq%pageRows]
	if row.at == 0 {
		page.n++
		m.plain++
	}
	*row = plainRow{d.At.UnixNano(), d.Duration, d.Fuel, d.Result}
}

// get returns the row of a Seq.
func (m *memoryRows) get(seq uint64) (memoryRow, bool) {
	if m == nil {
		return memoryRow{}, false
	}
	if page := m.pages[seq/pageRows]; page != nil {
		if row := &page.rows[seq%pageRows]; row.at != 0 {
			return memoryRow{Delivery: row.delivery(m.handler, seq)}, true
		}
	}
	row, found := m.full[seq]
	return row, found
}

// remove forgets the row of a Seq, if there is one.
func (m *memoryRows) remove(seq uint64) {
	delete(m.full, seq)
	page := m.pages[seq/pageRows]
	if page == nil || page.rows[seq%pageRows].at == 0 {
		return
	}
	page.rows[seq%pageRows] = plainRow{}
	m.plain--
	if page.n--; page.n > 0 {
		return
	}
	delete(m.pages, page.number)
	if m.latest == page {
		m.latest = nil
	}
}

// seqs yields the Seq of every row, in no order. The one that is yielded may be
// removed meanwhile.
func (m *memoryRows) seqs(yield func(uint64) bool) {
	if m == nil {
		return
	}
	for seq := range m.full {
		if !yield(seq) {
			return
		}
	}
	for number, page := range m.pages {
		for i := range page.rows {
			if page.rows[i].at != 0 && !yield(number*pageRows+uint64(i)) {
				return
			}
		}
	}
}

// others yields the rows that are no plain success, in no order.
func (m *memoryRows) others(yield func(uint64, memoryRow) bool) {
	if m == nil {
		return
	}
	for seq, row := range m.full {
		if !yield(seq, row) {
			return
		}
	}
}

func (r *plainRow) delivery(handler string, seq uint64) event.Delivery {
	at := time.Unix(0, r.at).UTC()
	return event.Success{At: at, Duration: r.duration, Fuel: r.fuel}.Delivery(handler, seq, r.result)
}
