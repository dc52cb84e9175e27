package desk

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/plugin/schema"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/guestnet"
	"github.com/berth-host/berth/host/sandbox/simulation"
	"github.com/berth-host/berth/host/spec"
)

// Config says which plugin to load. Everything is required.
type Config struct {
	Vetter   sandbox.Vetter
	Module   spec.Artifact
	Manifest abi.Manifest // the one in force, with a name
}

// Plugin is a loaded module with its manifest. It is safe for concurrent use.
type Plugin struct {
	name     string
	manifest abi.Manifest
	module   *sandbox.Module
}

// linesWait is how long a failure waits for its source lines: a report must not depend on how
// busy the machine is.
const linesWait = time.Minute

// Load vets and loads a module. Its errors are those of sandbox.Engine.Load. The caller
// closes the Plugin.
func Load(ctx context.Context, cfg Config) (*Plugin, error) {
	engine, err := sandbox.New(sandbox.Config{Vetter: cfg.Vetter, LinesWait: linesWait})
	if err != nil {
		return nil, err
	}
	module, err := engine.Load(ctx, cfg.Module, sandbox.Options{Memory: int64(cfg.Manifest.Limits.Memory)})
	if err != nil {
		return nil, err
	}
	return &Plugin{name: cfg.Manifest.Name, manifest: cfg.Manifest, module: module}, nil
}

// Name returns the plugin's name.
func (p *Plugin) Name() string { return p.name }

// Close frees the module. Stop the sessions first.
func (p *Plugin) Close(ctx context.Context) error { return p.module.Close(ctx) }

// Setup is what a session starts with. The zero value is valid: everything that the
// manifest requests is granted, and there is no configuration, secret, state or answer.
type Setup struct {
	Config  json.RawMessage   // a JSON object; nil for none
	Deny    []string          // requested capabilities that are not granted
	Secrets map[string]string // by name
	KV      map[string]string // the key-value state at the start
	HTTP    []Exchange        // recorded answers
	Seed    uint64            // of the random bytes
	Start   time.Time         // the time of day before the first event
}

// Start starts one instance. It returns when the instance waits for events; a guest that
// ends before is fault.Trap with the reason. A configuration that does not fit the
// manifest's schema is an error. The caller stops the Session.
func (p *Plugin) Start(ctx context.Context, setup Setup) (*Session, error) {
	if err := p.checkConfig(setup.Config); err != nil {
		return nil, err
	}
	s := &Session{batch: p.batch().MaxEvents, orderBy: cmp.Or(p.manifest.OrderBy, "/metadata/subject"), source: newSource(), state: &state{all: bus.NewMemory(bus.MemoryConfig{}), plugin: p.name}}
	for _, key := range slices.Sorted(maps.Keys(setup.KV)) {
		if err := s.state.all.KVSet(ctx, p.name, key, []byte(setup.KV[key])); err != nil {
			return nil, fmt.Errorf("key-value state: %q: %w", key, err)
		}
	}
	capabilities, err := p.capabilities(s, setup)
	if err != nil {
		return nil, err
	}
	limits := p.manifest.Limits
	s.pool, err = p.module.NewPool(ctx, sandbox.PoolConfig{
		Name:         p.name,
		Source:       s.source,
		Entry:        p.manifest.Extism.Entry,
		Limits:       spec.Limits{Timeout: time.Duration(limits.Timeout), Stack: int64(limits.Stack), Concurrency: 1},
		Settings:     string(setup.Config),
		Capabilities: capabilities,
		State:        spec.StateMode(p.manifest.State),
		Batch:        p.batch(),
		Logger:       s.log.logger(),
		Simulate:     &simulation.Config{Seed: setup.Seed, Start: setup.Start, Between: s.source.usedBetween},
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// batch returns the manifest's policy of batches.
func (p *Plugin) batch() (policy spec.BatchPolicy) {
	if b := p.manifest.Batch; b != nil {
		policy = spec.BatchPolicy{MaxEvents: b.MaxEvents, MaxWait: time.Duration(b.MaxWait)}
	}
	return policy
}

// checkConfig checks a configuration against the manifest's schema, as a host does.
func (p *Plugin) checkConfig(config json.RawMessage) error {
	if p.manifest.ConfigSchema == nil {
		return nil
	}
	s, err := schema.Compile(p.manifest.ConfigSchema)
	if err != nil {
		return fmt.Errorf("config_schema of the manifest: %w", err)
	}
	if config == nil {
		config = json.RawMessage("{}")
	}
	if err := s.Check(config); err != nil {
		return fmt.Errorf("the configuration does not fit the config_schema of the manifest: %w", err)
	}
	return nil
}

// capabilities returns what the manifest requests, except for the denied.
func (p *Plugin) capabilities(s *Session, setup Setup) (sandbox.Capabilities, error) {
	var c sandbox.Capabilities
	for _, requested := range p.manifest.Capabilities {
		if slices.Contains(setup.Deny, requested.Name) {
			continue
		}
		switch requested.Name {
		case abi.CapabilityEmit:
			c.Emit = func(eventType string) bool {
				return slices.ContainsFunc(requested.EventTypes, func(glob string) bool { return abi.MatchEventType(glob, eventType) })
			}
		case abi.CapabilityHTTP:
			network := guestnet.New(guestnet.Config{Transport: &answers{exchanges: setup.HTTP}})
			client, err := network.Client(requested.Hosts, nil)
			if err != nil {
				return c, fmt.Errorf("capability http: %w", err)
			}
			s.http.client = client
			c.HTTP = &s.http
		case abi.CapabilitySecret:
			c.Secrets = secrets{requested.Names, setup.Secrets}
		case abi.CapabilityKV:
			c.KV = s.state
		}
	}
	return c, nil
}
