package outcomes

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/event/pack"
)

const (
	// maxRows and maxBytes bound a statement: a message of the protocol has 1 GiB at most, and
	// the server ends a statement that takes too long.
	maxRows  = 4096
	maxBytes = 16 << 20
	// blocksBefore is how many blocks before the first outcome of a write can be merged with it.
	blocksBefore = 4
)

// Write is the part of a transaction that stores outcomes. It is not safe for concurrent use.
type Write struct {
	tx      pgx.Tx
	trimmed uint64
	there   map[uint64]bool // events at or below the mark "trimmed"
	blocks  map[string][]frame
	among   map[string]bool // handlers that have rows in the range of their outcomes
	planner planner
}

// Begin locks the handlers, see Lock, and reads what storing these plain successes, or some of
// them, will change. deliveries are all others that the write may store. b has the statements
// that lock units, or nothing; they are executed before, in the same round trip.
func Begin(ctx context.Context, tx pgx.Tx, b *pgx.Batch, handlers []string, successes *pack.Runs, deliveries []event.Delivery) (*Write, error) {
	w := &Write{tx: tx, blocks: make(map[string][]frame), among: make(map[string]bool)}
	var names []string
	var firsts, lasts, counts []int64
	for _, r := range successes.All() {
		list := r.Outcomes()
		if len(list) == 0 {
			continue
		}
		names = append(names, r.Handler)
		firsts, lasts = append(firsts, seqOf(list[0].Seq)), append(lasts, seqOf(list[len(list)-1].Seq))
		counts = append(counts, int64(len(list)))
	}
	queueLock(b, handlers, &w.trimmed)
	if len(names) > 0 {
		b.Queue(nearBlocks, names, firsts, lasts, counts, pack.MaxOutcomes, fullBytes, smallBytes, blocksBefore).Query(w.scanBlocks)
		b.Queue(rowsAmong, names, firsts, lasts).Query(func(rows pgx.Rows) error {
			var handler string
			return each(rows, nil, func() { w.among[handler] = true }, &handler)
		})
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	var low []int64
	for _, r := range successes.All() {
		for _, o := range r.Outcomes() {
			if o.Seq > w.trimmed {
				break
			}
			low = append(low, seqOf(o.Seq))
		}
	}
	for i := range deliveries {
		if deliveries[i].Seq <= w.trimmed {
			low = append(low, seqOf(deliveries[i].Seq))
		}
	}
	var err error
	w.there, err = existing(ctx, tx, low)
	return w, err
}

const (
	// nearBlocks are the blocks of handlers in the range of their outcomes, and some before it,
	// ascending. The last ones before that may be merged have their content.
	nearBlocks = `SELECT u.handler, b.first_seq, b.last_seq, b.newest_at, b.outcomes, octet_length(b.block),
			CASE WHEN b.before AND (b.last_seq >= u.first OR b.outcomes < $5 AND octet_length(b.block) < $6
				AND (b.outcomes <= u.outcomes OR b.outcomes + u.outcomes >= $5 OR octet_length(b.block) <= $7)) THEN b.block END
		FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS u (handler, first, last, outcomes) CROSS JOIN LATERAL (
			(SELECT o.*, true AS before FROM outcome_blocks AS o WHERE o.handler = u.handler AND o.first_seq <= u.first
				ORDER BY o.first_seq DESC LIMIT $8)
			UNION ALL (SELECT o.*, false FROM outcome_blocks AS o WHERE o.handler = u.handler AND o.first_seq > u.first AND o.first_seq <= u.last)
		) AS b ORDER BY u.handler, b.first_seq`
	rowsAmong = `SELECT u.handler FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS u (handler, first, last)
		WHERE EXISTS (SELECT 1 FROM deliveries AS d WHERE d.handler = u.handler AND d.seq >= u.first AND d.seq <= u.last)`
)

func (w *Write) scanBlocks(rows pgx.Rows) error {
	var f frame
	return each(rows, nil, func() {
		w.blocks[f.handler] = append(w.blocks[f.handler], f)
		f.content = nil
	}, &f.handler, &f.first, &f.last, &f.newestAt, &f.outcomes, &f.size, &f.content)
}

// Exists reports whether the log has the event of a delivery of the call, or never trimmed it.
func (w *Write) Exists(seq uint64) bool { return seq > w.trimmed || w.there[seq] }

// HasSuccess reports which of the deliveries, which succeeded, are stored already; see
// event.Delivery.SameSuccess. It takes a block that cannot be read for one without them: then
// the event is delivered again, too.
func (w *Write) HasSuccess(ctx context.Context, deliveries []event.Delivery) ([]bool, error) {
	has := make([]bool, len(deliveries))
	var names []string
	var seqs []int64
	for i := range deliveries {
		names, seqs = append(names, deliveries[i].Handler), append(seqs, seqOf(deliveries[i].Seq))
	}
	rows, err := w.tx.Query(ctx, `SELECT u.n, d.status, d.attempts, d.at FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS u (handler, seq, n)
		JOIN deliveries AS d ON d.handler = u.handler AND d.seq = u.seq`, names, seqs)
	found := make([]bool, len(deliveries))
	var n, at int64
	var status string
	var before event.Delivery
	err = each(rows, err, func() {
		before.Status, before.At = event.Status(status), timeOf(at)
		has[n-1], found[n-1] = deliveries[n-1].SameSuccess(&before), true
	}, &n, &status, &before.Attempts, &at)
	if err != nil {
		return nil, err
	}
	for i := range deliveries {
		d := &deliveries[i]
		if found[i] || d.Attempts != 1 || d.Status != event.StatusOK {
			continue // no block has it
		}
		f := w.blockOf(d.Handler, d.Seq)
		if f == nil {
			continue
		}
		if err := w.read(ctx, []*frame{f}); err != nil {
			return nil, err
		}
		block, err := f.open()
		if err != nil {
			continue
		}
		same := false
		err = block.Times(func(seq uint64, at int64) bool {
			same = seq == d.Seq && at == d.At.UnixNano()
			return seq < d.Seq
		})
		has[i] = same && err == nil
	}
	return has, nil
}

// blockOf returns the block of a handler that has a Seq in its range, or nil.
func (w *Write) blockOf(handler string, seq uint64) *frame {
	for i := range w.blocks[handler] {
		if f := &w.blocks[handler][i]; uint64(f.first) <= seq && seq <= uint64(f.last) {
			return f
		}
	}
	return nil
}

// read reads the contents of blocks that have none.
func (w *Write) read(ctx context.Context, list []*frame) error {
	var names []string
	var firsts []int64
	for _, f := range list {
		if f.content == nil {
			names, firsts = append(names, f.handler), append(firsts, f.first)
		}
	}
	if len(names) == 0 {
		return nil
	}
	rows, err := w.tx.Query(ctx, `SELECT b.handler, b.first_seq, b.block FROM unnest($1::text[], $2::bigint[]) AS u (handler, first)
		JOIN outcome_blocks AS b ON b.handler = u.handler AND b.first_seq = u.first`, names, firsts)
	var handler string
	var first int64
	var content []byte
	return each(rows, err, func() {
		for _, f := range list {
			if f.handler == handler && f.first == first {
				f.content = content
			}
		}
		content = nil
	}, &handler, &first, &content)
}

// Content is what a transaction stores.
type Content struct {
	Successes  *pack.Runs
	Deliveries []event.Delivery // other outcomes; none has the handler and Seq of another
	Past       []Past           // attempts, in the order in which they ended
	Cursors    []event.Cursor
}

// Past is an attempt with its logs, which are encoded already.
type Past struct {
	event.PastAttempt
	Logs encodedLogs
}

// PastOf returns the attempt that led to the delivery with an index, as it is stored now, and
// whether it is kept.
func (l Logs) PastOf(index int, d *event.Delivery) (Past, bool) {
	a, kept := d.Past()
	a.Logs = nil
	return Past{a, l[index]}, kept
}

// Save stores outcomes, attempts and cursors. Nothing is stored of an event that was trimmed.
// With refuse, every delivery that the database refuses for its content is stored as refuse
// returns it; without, that is an error (see Refused) and the transaction is of no use.
func (w *Write) Save(ctx context.Context, c Content, refuse func(d event.Delivery, reason error) event.Delivery) error {
	var b pgx.Batch
	singles, err := w.queueBlocks(ctx, &b, c.Successes)
	if err != nil {
		return err
	}
	singles = w.withDeliveries(singles, c.Deliveries)
	w.queueReleased(&b, singles)
	var attempts Attempts
	for i := range c.Past {
		if w.Exists(c.Past[i].Seq) {
			attempts.add(&c.Past[i].PastAttempt, c.Past[i].Logs)
		}
	}
	attempts.queue(&b)
	queueCursors(&b, c.Cursors)
	if refuse == nil {
		queueDeliveries(&b, singles) // after the removal of rows that successes of the call replace
	}
	if b.Len() > 0 {
		if err := w.tx.SendBatch(ctx, &b).Close(); err != nil {
			return err
		}
	}
	if refuse == nil {
		return nil
	}
	return w.saveEach(ctx, singles, refuse)
}

// withDeliveries returns the plain successes that become rows, and the deliveries of events that
// were not trimmed, each in place of such a success with its handler and Seq.
func (w *Write) withDeliveries(successes, deliveries []event.Delivery) []event.Delivery {
	if len(successes) > 0 && len(deliveries) > 0 {
		successes = slices.DeleteFunc(successes, func(s event.Delivery) bool {
			return slices.ContainsFunc(deliveries, func(d event.Delivery) bool { return d.Seq == s.Seq && d.Handler == s.Handler })
		})
	}
	for i := range deliveries {
		if w.Exists(deliveries[i].Seq) {
			successes = append(successes, deliveries[i])
		}
	}
	return successes
}

// queueDeliveries adds statements that store deliveries, each in place of the one that is
// there.
func queueDeliveries(b *pgx.Batch, list []event.Delivery) {
	var l Deliveries
	for i := range list {
		if l.add(&list[i]); l.full() || i == len(list)-1 {
			b.Queue(replaceDeliveries, l.args()...)
			l = Deliveries{}
		}
	}
}

// saveEach stores deliveries one by one, so that one that is refused does not concern others.
func (w *Write) saveEach(ctx context.Context, list []event.Delivery, refuse func(event.Delivery, error) event.Delivery) error {
	for _, d := range list {
		save := func(ctx context.Context, tx pgx.Tx) error {
			var l Deliveries
			l.add(&d)
			_, err := tx.Exec(ctx, replaceDeliveries, l.args()...)
			return err
		}
		refused, err := Try(ctx, w.tx, save)
		if refused != nil {
			d = refuse(d, refused)
			err = save(ctx, w.tx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// queueReleased adds a statement that queues the events below the mark for the next trim of
// which a delivery may have been the last that kept them.
func (w *Write) queueReleased(b *pgx.Batch, list []event.Delivery) {
	var seqs []int64
	for i := range list {
		if list[i].Seq <= w.trimmed && list[i].Status == event.StatusOK {
			seqs = append(seqs, seqOf(list[i].Seq))
		}
	}
	if len(seqs) > 0 {
		b.Queue(release, seqs)
	}
}

const release = `INSERT INTO released SELECT DISTINCT seq FROM unnest($1::bigint[]) AS seq ON CONFLICT DO NOTHING`

// queueCursors adds a statement that sets cursors, the last of several with one name.
func queueCursors(b *pgx.Batch, list []event.Cursor) {
	last := make(map[string]uint64, len(list))
	for _, c := range list {
		last[c.Name] = c.Seq
	}
	var names []string
	var seqs []int64
	for name, seq := range last {
		names, seqs = append(names, name), append(seqs, seqOf(seq))
	}
	if len(names) > 0 {
		b.Queue(`INSERT INTO cursors SELECT * FROM unnest($1::text[], $2::bigint[]) AS u (name, seq) ORDER BY name
			ON CONFLICT (name) DO UPDATE SET seq = excluded.seq`, names, seqs)
	}
}

// SetCursors sets cursors; see Content.
func SetCursors(ctx context.Context, tx pgx.Tx, list ...event.Cursor) error {
	var b pgx.Batch
	queueCursors(&b, list)
	return tx.SendBatch(ctx, &b).Close()
}
