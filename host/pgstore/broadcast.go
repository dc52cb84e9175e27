package pgstore

import (
	"context"

	"github.com/berth-host/berth/host/pgstore/conn"
)

// MaxMessage bounds a message of Broadcast, in bytes.
const MaxMessage = conn.MaxMessage

// Broadcast sends messages to the other hosts that are in Receive now; see conn.DB.
func (s *Store) Broadcast(ctx context.Context, messages []string) error {
	return s.db.Broadcast(ctx, messages)
}

// Receive calls take with each message of other hosts until ctx ends; see conn.DB.
func (s *Store) Receive(ctx context.Context, take func(message string)) error {
	return s.db.Receive(ctx, take)
}
