package store

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

func (s *Store) KVExpire(context.Context, string, string, time.Time) error {
	return fault.New(fault.Unavailable, "this engine does not list keys yet")
}
func (s *Store) KVList(context.Context, string, string, string, int) ([]spec.KVItem, error) {
	return nil, fault.New(fault.Unavailable, "this engine does not list keys yet")
}
func (s *Store) KVUsage(context.Context, string) (int64, int64, error) {
	return 0, 0, fault.New(fault.Unavailable, "this engine does not list keys yet")
}
