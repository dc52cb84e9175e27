package host

import (
	"context"
	"fmt"
	"slices"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/secret"
)

// capabilities are what a plugin has: what its manifest asks for, as far as the
// operator grants it. What is not asked for is not given, so a plugin without a
// manifest has none.
func (r *runner) capabilities(spec plugin.Spec) (sandbox.Capabilities, error) {
	var c sandbox.Capabilities
	for _, asked := range spec.Manifest.Capabilities {
		for _, grant := range spec.Settings.Grants {
			if grant.Name != asked.Name {
				continue
			}
			switch asked.Name {
			case abi.CapabilityEmit:
				c.Emit = both(asked.EventTypes, grant.EventTypes, abi.MatchEventType)
			case abi.CapabilityHTTP:
				client, err := r.network.Client(asked.Hosts, grant.Hosts)
				if err != nil {
					return c, fmt.Errorf("capability http: %w", err)
				}
				c.HTTP = client
			case abi.CapabilitySecret:
				c.Secrets = grantedSecrets{r.secrets, both(asked.Names, grant.Names, func(a, b string) bool { return a == b })}
			case abi.CapabilityKV:
				c.KV = pluginKV{r.state, spec.Name}
			}
		}
	}
	return c, nil
}

// both answers whether something is asked for and granted. A grant without a
// list takes in all that is asked for.
func both(asked, granted []string, match func(pattern, s string) bool) func(string) bool {
	in := func(patterns []string, s string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return match(p, s) })
	}
	return func(s string) bool {
		return in(asked, s) && (len(granted) == 0 || in(granted, s))
	}
}

// grantedSecrets are the secrets that a plugin may read.
type grantedSecrets struct {
	secret.Source
	granted func(name string) bool
}

// Granted implements sandbox.Secrets.
func (s grantedSecrets) Granted(name string) bool { return s.granted(name) }

// keyValues is an engine's key-value state of all plugins.
type keyValues interface {
	KVGet(ctx context.Context, plugin, key string) (value []byte, found bool, err error)
	KVSet(ctx context.Context, plugin, key string, value []byte) error
	KVCAS(ctx context.Context, plugin, key string, old, value []byte) error
	KVDelete(ctx context.Context, plugin, key string) error
}

// pluginKV is the state of one plugin, under its name: it outlives versions and
// restarts.
type pluginKV struct {
	all    keyValues
	plugin string
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
