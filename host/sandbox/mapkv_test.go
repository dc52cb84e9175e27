package sandbox_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// mapKV is a sandbox.KV with a bound. It is safe for concurrent use.
type mapKV struct {
	mu     sync.Mutex
	values map[string]string
	until  map[string]time.Time // of keys with a limit
	quota  int64
	reads  int // calls of Get and List
	writes int
}

func newMapKV(quota int64) *mapKV {
	return &mapKV{values: make(map[string]string), until: make(map[string]time.Time), quota: quota}
}

func (k *mapKV) used() (n int64) {
	for key, value := range k.values {
		n += int64(len(key)+len(value)) + spec.KVEntry
	}
	return n
}

func (k *mapKV) Cached(string) (value []byte, found, ok bool) { return nil, false, false }

func (k *mapKV) Newest(string) (value []byte, found, ok bool, stored func(context.Context) error) {
	return nil, false, false, nil
}

func (k *mapKV) Get(_ context.Context, key string) ([]byte, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reads++
	value, found := k.values[key]
	return []byte(value), found, nil
}

func (k *mapKV) Set(_ context.Context, key string, value []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	present, found := k.values[key]
	if _, err := spec.GrowKV("p", key, []byte(present), found, value, k.used(), k.quota); err != nil {
		return err
	}
	k.writes++
	k.values[key] = string(value)
	delete(k.until, key)
	return nil
}

func (k *mapKV) CompareAndSet(ctx context.Context, key string, old, value []byte) error {
	k.mu.Lock()
	present, found := k.values[key]
	until, limited := k.until[key]
	k.mu.Unlock()
	if found != (old != nil) || !bytes.Equal([]byte(present), old) {
		return fault.New(fault.Conflict, "the value differs")
	}
	err := k.Set(ctx, key, value)
	if limited {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.until[key] = until
	}
	return err
}

func (k *mapKV) Delete(_ context.Context, key string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.writes++
	delete(k.values, key)
	delete(k.until, key)
	return nil
}

func (k *mapKV) List(_ context.Context, prefix, after string, limit int) (keys []string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reads++
	for key := range k.values {
		if strings.HasPrefix(key, prefix) && key > after {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys[:min(limit, len(keys))], nil
}

func (k *mapKV) Expire(_ context.Context, key string, until time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, found := k.values[key]; !found {
		return fault.New(fault.NotFound, "there is no such key")
	}
	k.writes++
	if delete(k.until, key); !until.IsZero() {
		k.until[key] = until
	}
	return nil
}

func (k *mapKV) Usage(context.Context) (used, quota int64, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.used(), k.quota, nil
}
