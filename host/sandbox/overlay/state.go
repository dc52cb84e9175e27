package overlay

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/berth-host/berth/abi"
)

// State is an overlay above its base at a time. It implements sandbox.KV.
type State struct {
	Overlay *Overlay
	Base    Base
	Now     time.Time
}

// Get implements sandbox.KV.
func (s State) Get(_ context.Context, key string) (value []byte, found bool, err error) {
	return s.Overlay.Get(s.Base, s.Now, key)
}

// Set implements sandbox.KV.
func (s State) Set(_ context.Context, key string, value []byte) error {
	return s.Overlay.Set(s.Base, key, value)
}

// CompareAndSet implements sandbox.KV.
func (s State) CompareAndSet(_ context.Context, key string, old, value []byte) error {
	return s.Overlay.Swap(s.Base, s.Now, key, old, value)
}

// Delete implements sandbox.KV.
func (s State) Delete(_ context.Context, key string) error { return s.Overlay.Delete(s.Base, key) }

// List implements sandbox.KV.
func (s State) List(_ context.Context, prefix, after string, limit int) ([]string, error) {
	return s.Overlay.List(s.Base, s.Now, prefix, after, limit)
}

// Expire implements sandbox.KV.
func (s State) Expire(_ context.Context, key string, until time.Time) error {
	return s.Overlay.Expire(s.Base, s.Now, key, until)
}

// Usage implements sandbox.KV: it is that of the base.
func (s State) Usage(context.Context) (used, quota int64, err error) { return s.Base.Usage() }

// Cached implements sandbox.KV: only Get knows.
func (State) Cached(string) (value []byte, found, ok bool) { return nil, false, false }

// Newest implements sandbox.KV likewise.
func (State) Newest(string) (value []byte, found, ok bool, stored func(context.Context) error) {
	return nil, false, false, nil
}

// EncodeKeys returns the beginning of a list as kv_list yields it.
func EncodeKeys(keys []string) string {
	var text []byte
	for i, key := range keys {
		if i == abi.MaxKVList || len(text)+4+len(key) > abi.MaxKVListBytes {
			break
		}
		text = binary.LittleEndian.AppendUint32(text, uint32(len(key)))
		text = append(text, key...)
	}
	return string(text)
}
