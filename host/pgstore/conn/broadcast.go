package conn

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// MaxMessage bounds a message of Broadcast, in bytes: a payload of the server has less than 8,000.
const MaxMessage = 7900

// Broadcast sends messages to the other hosts that are in Receive now. They are not stored.
func (d *DB) Broadcast(ctx context.Context, messages []string) error {
	if err := d.Closed(); err != nil {
		return err
	}
	_, err := d.pool.Exec(ctx, `SELECT pg_notify($1, $2::text || message) FROM unnest($3::text[]) AS message`, d.feed(), d.notify.self, messages)
	if err != nil {
		return Coded("send messages to other hosts", err)
	}
	return nil
}

// Receive calls take with each message of other hosts until ctx ends, whose error it returns, or
// until its connection fails. take must return soon.
func (d *DB) Receive(ctx context.Context, take func(message string)) error {
	c, err := pgx.ConnectConfig(ctx, d.notify.settings)
	if err != nil {
		return Coded("connect for the messages of other hosts", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		c.Close(closing) //nolint:errcheck // it has nothing to commit
	}()
	if _, err := c.Exec(ctx, `LISTEN `+pgx.Identifier{d.feed()}.Sanitize()); err != nil {
		return Coded("listen for the messages of other hosts", err)
	}
	own := d.notify.self
	for {
		got, err := c.WaitForNotification(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return Coded("await the messages of other hosts", err)
		case len(got.Payload) > len(own) && got.Payload[:len(own)] != own:
			take(got.Payload[len(own):])
		}
	}
}

func (d *DB) feed() string { return "berth_feed_" + d.schema }
