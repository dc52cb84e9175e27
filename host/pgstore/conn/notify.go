package conn

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	// notifyPause is the shortest time between two notifications: one covers all commits until
	// then. It is longer while a notification takes long, so that a busy server gets fewer.
	notifyPause   = time.Millisecond
	notifyShare   = 4 // a pause is at least so many times as long as the notification took
	reconnectWait = time.Second
)

// notifier tells other hosts that there is something to read, and hears it from them. It is a
// hint only: connection poolers and lost connections swallow notifications, so that every
// reader also polls. It sends after the commit and on a connection of its own, because a
// NOTIFY inside a transaction takes a lock of the whole server until its commit.
type notifier struct {
	settings *pgx.ConnConfig
	channel  string // of the schema; the payload is the topic and the sender
	self     string // the sender
	log      *slog.Logger
	stop     context.CancelFunc
	running  sync.WaitGroup

	mu     sync.Mutex
	topics map[string]chan struct{} // of the listeners
	due    map[string]bool          // topics to be sent
	send   chan struct{}
}

func newNotifier(settings *pgx.ConnConfig, schema string, log *slog.Logger) *notifier {
	ctx, stop := context.WithCancel(context.Background())
	n := &notifier{settings: settings, channel: "berth_" + schema, self: uuid.NewString(), log: log, stop: stop,
		topics: make(map[string]chan struct{}), due: make(map[string]bool), send: make(chan struct{}, 1)}
	n.running.Go(func() { n.keep(ctx, n.listen) })
	n.running.Go(func() { n.keep(ctx, n.sendAll) })
	return n
}

func (n *notifier) close() {
	n.stop()
	n.running.Wait()
}

// Notify tells the other hosts, soon and not surely, that something of this topic was
// committed.
func (d *DB) Notify(topic string) {
	n := d.notify
	n.mu.Lock()
	n.due[topic] = true
	n.mu.Unlock()
	select {
	case n.send <- struct{}{}:
	default:
	}
}

// Notified returns the channel that receives a token when another host has called Notify with
// this topic, or may have: there is one token for any number of them, and one at the begin.
func (d *DB) Notified(topic string) <-chan struct{} {
	n := d.notify
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.topics[topic] == nil {
		n.topics[topic] = make(chan struct{}, 1)
		n.topics[topic] <- struct{}{}
	}
	return n.topics[topic]
}

// keep runs use on a connection, and on another one when that is lost, until ctx ends.
func (n *notifier) keep(ctx context.Context, use func(context.Context, *pgx.Conn) error) {
	for ctx.Err() == nil {
		c, err := pgx.ConnectConfig(ctx, n.settings)
		if err == nil {
			err = use(ctx, c)
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			c.Close(closing) //nolint:errcheck // it has nothing to commit
			cancel()
		}
		if ctx.Err() != nil {
			return
		}
		n.log.Debug("no notifications between hosts until the next attempt to connect; they poll", "error", err)
		timer := time.NewTimer(reconnectWait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

func (n *notifier) listen(ctx context.Context, c *pgx.Conn) error {
	if _, err := c.Exec(ctx, `LISTEN `+pgx.Identifier{n.channel}.Sanitize()); err != nil {
		return err
	}
	n.wake("") // what was sent before is unknown
	for {
		got, err := c.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if sender, topic := got.Payload[:min(len(n.self), len(got.Payload))], got.Payload[min(len(n.self), len(got.Payload)):]; sender != n.self {
			n.wake(topic)
		}
	}
}

// wake gives the listeners of a topic a token; "" is every topic.
func (n *notifier) wake(topic string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, ch := range n.topics {
		if topic != "" && topic != name {
			continue
		}
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

func (n *notifier) sendAll(ctx context.Context, c *pgx.Conn) error {
	for {
		select {
		case <-n.send:
		case <-ctx.Done():
			return ctx.Err()
		}
		n.mu.Lock()
		topics := make([]string, 0, len(n.due))
		for topic := range n.due {
			topics = append(topics, n.self+topic)
		}
		clear(n.due)
		n.mu.Unlock()
		began := time.Now()
		if _, err := c.Exec(ctx, `SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload`, n.channel, topics); err != nil {
			return err
		}
		timer := time.NewTimer(max(notifyPause, notifyShare*time.Since(began)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}
