package progress

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/event/pack"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/keyvalue"
	"github.com/berth-host/berth/host/pgstore/outcomes"
	"github.com/berth-host/berth/host/spec"
)

// SaveDeliveries implements bus.State. A handler whose fence is past is left out, and the
// others are stored. A delivery that the database refuses for its content, such as a result
// that is too large for it, is stored as unstorable makes it, and concerns no other.
//
// A call without anything to store returns no fences: nothing is compared.
func (s *State) SaveDeliveries(ctx context.Context, fences []spec.Fence, successes []event.Successes, deliveries []event.Delivery,
	cursors []event.Cursor) (saved event.Saved, fenced []spec.Fence, err error) {
	const doing = "save deliveries"
	if len(successes)+len(deliveries)+len(cursors) == 0 {
		return saved, nil, nil
	}
	c := call{s: s, fences: fences, successes: successes, deliveries: deliveries, cursors: cursors}
	if c.logs, err = outcomes.EncodeLogs(deliveries); err != nil {
		return saved, nil, conn.Coded(doing, err)
	}
	c.last = lastOf(deliveries)
	if err = s.cfg.DB.Write(ctx, doing, c.run); outcomes.Refused(err) {
		c.careful = true
		err = s.cfg.DB.Write(ctx, doing, c.run)
	}
	if err != nil {
		return event.Saved{}, nil, err
	}
	for _, f := range c.fenced {
		s.cfg.DB.Refuse(f) //nolint:errcheck // the caller gets the fence
	}
	if len(c.published) > 0 {
		s.cfg.Published(c.published)
	}
	return c.saved, c.fenced, nil
}

// call is one SaveDeliveries.
type call struct {
	s          *State
	fences     []spec.Fence
	successes  []event.Successes
	deliveries []event.Delivery
	cursors    []event.Cursor
	logs       outcomes.Logs
	last       map[deliveryKey]int
	careful    bool // the database refuses something: it is found by storing each value alone

	// results of the last run
	saved     event.Saved
	fenced    []spec.Fence
	published []event.Receipt
}

// deliveryKey identifies a delivery.
type deliveryKey struct {
	handler string
	seq     uint64
}

// lastOf returns the index of the last of several deliveries with the same key.
func lastOf(deliveries []event.Delivery) map[deliveryKey]int {
	last := make(map[deliveryKey]int, len(deliveries))
	for i := range deliveries {
		last[deliveryKey{deliveries[i].Handler, deliveries[i].Seq}] = i
	}
	return last
}

// isLast reports whether the delivery with an index is stored: a later one of the call may
// replace it.
func (c *call) isLast(i int) bool {
	return c.last[deliveryKey{c.deliveries[i].Handler, c.deliveries[i].Seq}] == i
}

// run stores the call in a transaction, which may be undone and run again.
func (c *call) run(ctx context.Context, tx pgx.Tx) (err error) {
	c.saved, c.fenced, c.published = event.Saved{}, nil, nil
	var first pgx.Batch
	stale := conn.QueueStale(&first, c.fences)
	given := c.unfenced() // all, for now
	w, err := outcomes.Begin(ctx, tx, &first, given.handlers, given.successes, given.deliveries)
	if err != nil {
		return err
	}
	if c.fenced = stale(); len(c.fenced) > 0 {
		given = c.unfenced()
	}
	content := outcomes.Content{Successes: given.successes, Cursors: given.cursors}
	if !given.plain {
		// What becomes of a delivery decides whether it is a plain success.
		content.Successes = &pack.Runs{}
		c.addSuccesses(content.Successes)
	}
	r := resolver{call: c, tx: tx, write: w}
	if err := r.load(ctx, given); err != nil {
		return err
	}
	for i := 0; i < len(c.deliveries); {
		list := c.deliveries[i : i+event.Together(c.deliveries[i:])]
		if spec.Names(c.fenced, list[0].Handler) {
			i += len(list)
			continue
		}
		if list, err = r.resolve(ctx, list); err != nil {
			return err
		}
		for n := range list {
			c.put(&content, i+n, &list[n], given.plain)
		}
		i += len(list)
	}
	if err := r.store(ctx); err != nil {
		return err
	}
	c.published = r.receipts
	if !c.careful {
		return w.Save(ctx, content, nil)
	}
	return w.Save(ctx, content, c.refuse)
}

// put adds a delivery as it is stored. With plain, the successes have the plain ones already.
func (c *call) put(content *outcomes.Content, i int, d *event.Delivery, plain bool) {
	if a, kept := c.logs.PastOf(i, d); kept {
		content.Past = append(content.Past, a)
	}
	if !c.isLast(i) {
		return
	}
	o, ok := pack.FromDelivery(d)
	switch {
	case !ok:
		content.Deliveries = append(content.Deliveries, *d)
	case !plain:
		content.Successes.Add(d.Handler, o)
	}
}

// given is what a call stores of the handlers that are not fenced.
type given struct {
	handlers   []string
	successes  *pack.Runs       // and the deliveries that can become plain successes
	deliveries []event.Delivery // all
	effects    []*event.Effects
	children   []*event.Event
	cursors    []event.Cursor
	plain      bool // no delivery has effects or children
}

func (c *call) unfenced() given {
	g := given{successes: &pack.Runs{}, plain: true}
	handlers := make(map[string]bool)
	c.addSuccesses(g.successes)
	for _, r := range g.successes.All() {
		handlers[r.Handler] = true
	}
	for i := range c.deliveries {
		d := &c.deliveries[i]
		if len(c.fenced) > 0 && spec.Names(c.fenced, d.Handler) {
			continue
		}
		handlers[d.Handler] = true
		g.deliveries = append(g.deliveries, *d)
		if o, ok := pack.FromDelivery(d); ok && c.isLast(i) {
			g.successes.Add(d.Handler, o)
		}
		if e := d.Effects; e != nil && (i == 0 || c.deliveries[i-1].Effects != e) {
			g.effects = append(g.effects, e)
		}
		g.children = append(g.children, d.Children...)
		g.plain = g.plain && d.Effects == nil && len(d.Children) == 0
	}
	for _, cursor := range c.cursors {
		if !spec.Names(c.fenced, cursor.Handler()) {
			handlers[cursor.Handler()] = true
			g.cursors = append(g.cursors, cursor)
		}
	}
	g.handlers = slices.Collect(maps.Keys(handlers))
	return g
}

func (c *call) addSuccesses(to *pack.Runs) {
	for i := range c.successes {
		if of := &c.successes[i]; !spec.Names(c.fenced, of.Handler) {
			to.AddAll(of)
		}
	}
}

// refuse returns a delivery that the database refuses for its content, as it is stored
// instead, and reports it if it ends another way then.
func (c *call) refuse(d event.Delivery, reason error) event.Delivery {
	refused := unstorable(d, reason)
	if refused.Status != d.Status {
		c.saved.Refused = append(c.saved.Refused, refused)
	}
	return refused
}

// unstorable returns a delivery without the values that a guest chose. One that succeeded is
// dead: its result is lost.
func unstorable(d event.Delivery, reason error) event.Delivery {
	const problem = "the PostgreSQL server refuses to store "
	d.Children, d.Effects, d.Logs = nil, nil, nil
	if d.Status == event.StatusOK {
		d.Status, d.ErrorClass, d.ErrorMessage = event.StatusDead, event.ClassBadResult, problem+"the result: "+reason.Error()
	} else {
		d.ErrorMessage = problem + "the message of the failure: " + reason.Error()
	}
	d.Result = ""
	return d
}

// limits are the limits of key-value state now.
func (s *State) limits() keyvalue.Limits {
	return keyvalue.Limits{Quota: s.cfg.Quota, Now: s.cfg.Now()}
}
