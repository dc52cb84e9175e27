package run

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/secret"
	"github.com/berth-host/berth/host/spec"
)

// capabilities returns the capabilities that a version's manifest requests and the
// operator grants. A plugin without a manifest has none.
func (r *Runner) capabilities(version plugin.Spec) (sandbox.Capabilities, error) {
	c := sandbox.Capabilities{Check: r.Check}
	for _, requested := range version.Manifest.Capabilities {
		for _, grant := range version.Settings.Grants {
			if grant.Name != requested.Name {
				continue
			}
			switch requested.Name {
			case abi.CapabilityEmit:
				c.Emit = both(requested.EventTypes, grant.EventTypes, abi.MatchEventType)
			case abi.CapabilityHTTP:
				client, err := r.Network.Client(requested.Hosts, grant.Hosts)
				if err != nil {
					return c, fmt.Errorf("capability http: %w", err)
				}
				c.HTTP = client
			case abi.CapabilitySecret:
				c.Secrets = grantedSecrets{r.Secrets, both(requested.Names, grant.Names, func(a, b string) bool { return a == b })}
			case abi.CapabilityKV:
				c.KV = pluginKV{r.KV, version.Name}
			}
		}
	}
	return c, nil
}

// both returns the function that reports whether a value is requested and granted. A
// grant without a list covers everything requested.
func both(requested, granted []string, match func(pattern, s string) bool) func(string) bool {
	in := func(patterns []string, s string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return match(p, s) })
	}
	return func(s string) bool {
		return in(requested, s) && (len(granted) == 0 || in(granted, s))
	}
}

// grantedSecrets is a source of secrets restricted to the granted ones.
type grantedSecrets struct {
	secret.Source
	granted func(name string) bool
}

// Granted implements sandbox.Secrets.
func (s grantedSecrets) Granted(name string) bool { return s.granted(name) }

// KeyValues is the key-value state of all plugins in an engine.
type KeyValues interface {
	KVCached(plugin, key string) (value []byte, found, ok bool)
	KVNewest(plugin, key string) (value []byte, found, ok bool, stored func(context.Context) error)
	KVGet(ctx context.Context, plugin, key string) (value []byte, found bool, err error)
	KVSet(ctx context.Context, plugin, key string, value []byte) error
	KVCAS(ctx context.Context, plugin, key string, old, value []byte) error
	KVDelete(ctx context.Context, plugin, key string) error
	KVList(ctx context.Context, plugin, prefix, after string, limit int) ([]spec.KVItem, error)
	KVExpire(ctx context.Context, plugin, key string, until time.Time) error
	KVUsage(ctx context.Context, plugin string) (used, quota int64, err error)
}

// pluginKV is the state of one plugin under its name, which survives versions and
// restarts.
type pluginKV struct {
	all    KeyValues
	plugin string
}

// Cached implements sandbox.KV.
func (k pluginKV) Cached(key string) (value []byte, found, ok bool) {
	return k.all.KVCached(k.plugin, key)
}

// Newest implements sandbox.KV.
func (k pluginKV) Newest(key string) (value []byte, found, ok bool, stored func(context.Context) error) {
	return k.all.KVNewest(k.plugin, key)
}

// Get implements sandbox.KV.
func (k pluginKV) Get(ctx context.Context, key string) ([]byte, bool, error) {
	return k.all.KVGet(ctx, k.plugin, key)
}

// Set implements sandbox.KV.
func (k pluginKV) Set(ctx context.Context, key string, value []byte) error {
	return k.all.KVSet(ctx, k.plugin, key, value)
}

// CompareAndSet implements sandbox.KV.
func (k pluginKV) CompareAndSet(ctx context.Context, key string, old, value []byte) error {
	return k.all.KVCAS(ctx, k.plugin, key, old, value)
}

// Delete implements sandbox.KV.
func (k pluginKV) Delete(ctx context.Context, key string) error {
	return k.all.KVDelete(ctx, k.plugin, key)
}

// List implements sandbox.KV.
func (k pluginKV) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	items, err := k.all.KVList(ctx, k.plugin, prefix, after, limit)
	keys := make([]string, len(items))
	for i := range items {
		keys[i] = items[i].Key
	}
	return keys, err
}

// Expire implements sandbox.KV.
func (k pluginKV) Expire(ctx context.Context, key string, until time.Time) error {
	return k.all.KVExpire(ctx, k.plugin, key, until)
}

// Usage implements sandbox.KV.
func (k pluginKV) Usage(ctx context.Context) (used, quota int64, err error) {
	return k.all.KVUsage(ctx, k.plugin)
}
