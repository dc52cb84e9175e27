package abi

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/berth-host/berth/abi/strictjson"
)

// Manifest describes a plugin: its name and version, its subscriptions, and the
// capabilities and limits that it requests. Every field is optional, and the zero
// value is valid. The operator grants capabilities.
type Manifest struct {
	// Name identifies the plugin on one host; see ValidName. Empty: the name
	// comes from the file.
	Name string `json:"name,omitzero"`
	// Version is a semantic version; see ValidVersion.
	Version     string `json:"version,omitzero"`
	Description string `json:"description,omitzero"`
	License     string `json:"license,omitzero"`  // an SPDX expression by custom; not checked
	Homepage    string `json:"homepage,omitzero"` // an http or https link for people; never fetched

	// Subscribes selects events; one match is enough. Absent (nil): every type that
	// the operator routes. Empty but present: none.
	Subscribes []Subscription `json:"subscribes,omitzero"`
	// Capabilities lists the requested capabilities, each name at most once.
	Capabilities []Capability `json:"capabilities,omitzero"`
	// ConfigSchema is a JSON Schema for the handler's config, kept as written.
	ConfigSchema json.RawMessage `json:"config_schema,omitzero"`
	Limits       Limits          `json:"limits,omitzero"`
	Retry        Retry           `json:"retry,omitzero"`
	// OrderBy is a JSON Pointer into the envelope. Events with equal values
	// there reach the plugin one at a time, in order. Empty: the host's default.
	OrderBy string `json:"order_by,omitzero"`
	// State is StateDirect or StateAtomic. Empty: StateDirect.
	State string `json:"state,omitzero"`
	// Batch lets one call get several events. Only for the loop style.
	Batch  *Batch `json:"batch,omitzero"`
	Extism Extism `json:"extism,omitzero"`
}

// Extism is about a plugin of the Extism style.
type Extism struct {
	// Entry is the export that is called for each event. Empty: ExtismEntry.
	Entry string `json:"entry,omitzero"`
}

// Values of Manifest.State.
const (
	StateDirect = "direct" // key-value writes take effect at once
	StateAtomic = "atomic" // they take effect with the event's outcome, or not at all
)

// Batch bounds the events of one call.
type Batch struct {
	MaxEvents int      `json:"max_events"`        // 1 to 1000. Required
	MaxWait   Duration `json:"max_wait,omitzero"` // for more events once there is one, at most 10s. Zero: none
}

// Subscription selects events.
type Subscription struct {
	EventType string `json:"event_type"`    // a glob; see ValidEventTypeGlob. Required
	When      string `json:"when,omitzero"` // a CEL expression over event_type, data and metadata; not compiled here
}

// Names of the capabilities. All other calls of a guest are always allowed.
const (
	CapabilityEmit   = "emit"
	CapabilityKV     = "kv"
	CapabilitySecret = "secret"
	CapabilityHTTP   = "http"
)

// Capability is one requested capability.
type Capability struct {
	Name string `json:"name"` // emit, kv, secret or http. Required
	// Hosts are the hosts that http may connect to, at least one; see ValidHost.
	Hosts []string `json:"hosts,omitzero"`
	// EventTypes are globs of the types that emit may publish, at least one.
	EventTypes []string `json:"event_types,omitzero"`
	// Names are the secrets that secret may read, at least one.
	Names []string `json:"names,omitzero"`
	// Reason explains the request to the operator.
	Reason string `json:"reason,omitzero"`
	// Required: the plugin waits until the capability is granted.
	Required bool `json:"required,omitzero"`
}

// Limits are requested by a plugin. Zero values: the host's defaults.
type Limits struct {
	Timeout     Duration `json:"timeout,omitzero"`     // for one event
	Memory      Size     `json:"memory,omitzero"`      // of one instance, 64KiB up to but not including 4GiB
	Stack       Size     `json:"stack,omitzero"`       // of one instance's calls, 64KiB to 32MiB
	Concurrency int      `json:"concurrency,omitzero"` // instances at a time, 1 to 1024
}

// Retry is the policy after a failed attempt. Zero values: the host's defaults.
type Retry struct {
	MaxAttempts int      `json:"max_attempts,omitzero"` // the first included, 1 to 100
	Backoff     Duration `json:"backoff,omitzero"`      // before the second attempt
	MaxBackoff  Duration `json:"max_backoff,omitzero"`  // the upper bound of the backoff, at least Backoff
}

// ParseManifest reads a manifest of at most MaxManifest bytes. Malformed JSON,
// unknown and duplicate keys, values of another type (null included) and values out
// of range are errors, which name the path and the reason.
func ParseManifest(text []byte) (Manifest, error) {
	if len(text) > MaxManifest {
		return Manifest{}, fmt.Errorf("manifest: %d bytes are over the limit of %d", len(text), MaxManifest)
	}
	var m Manifest
	if err := decode(text, &m); err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	if err := m.Validate(); err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	return m, nil
}

func decode(text []byte, m *Manifest) error {
	err := strictjson.Decoder{LoneSurrogates: true}.Decode(text, m)
	var known *strictjson.Error
	if errors.As(err, &known) {
		switch known.Type {
		case reflect.TypeFor[Duration]():
			known.Reason = `must be a duration in quotes, like "2s"`
		case reflect.TypeFor[Size]():
			known.Reason = `must be a size in quotes, like "32MiB"`
		}
	}
	if err != nil || m.ConfigSchema == nil {
		return err
	}
	if first := m.ConfigSchema[0]; first != '{' && first != 't' && first != 'f' {
		return errors.New("config_schema: must be a JSON Schema: an object, true or false")
	}
	if shape := strictjson.Inspect(m.ConfigSchema, false); shape.Repeated {
		return fmt.Errorf("config_schema.%s: duplicate key", shape.Path)
	}
	return nil
}

// Validate returns an error for the first invalid value. ParseManifest calls it.
func (m Manifest) Validate() error {
	if m.Name != "" {
		if err := CheckName(m.Name); err != nil {
			return fmt.Errorf("name: %w", err)
		}
	}
	if m.Version != "" && !ValidVersion(m.Version) {
		return fmt.Errorf("version: %q is not a semantic version such as 1.2.0", m.Version)
	}
	for _, text := range []struct{ key, value string }{
		{"description", m.Description}, {"license", m.License}, {"homepage", m.Homepage},
	} {
		if err := textError(text.value); err != nil {
			return fmt.Errorf("%s: %w", text.key, err)
		}
	}
	if h := m.Homepage; h != "" && !strings.HasPrefix(h, "https://") && !strings.HasPrefix(h, "http://") {
		return fmt.Errorf("homepage: %q does not begin with https:// or http://", h)
	}
	for i, s := range m.Subscribes {
		if !ValidEventTypeGlob(s.EventType) {
			return fmt.Errorf("subscribes[%d].event_type: %w", i, globError(s.EventType))
		}
	}
	asked := make(map[string]bool, len(m.Capabilities))
	for i, c := range m.Capabilities {
		if err := c.validate(); err != nil {
			return fmt.Errorf("capabilities[%d].%w", i, err)
		}
		if asked[c.Name] {
			return fmt.Errorf("capabilities[%d].name: %q is requested twice", i, c.Name)
		}
		asked[c.Name] = true
	}
	if err := m.Limits.validate(); err != nil {
		return fmt.Errorf("limits.%w", err)
	}
	if err := m.Retry.validate(); err != nil {
		return fmt.Errorf("retry.%w", err)
	}
	if !ValidPointer(m.OrderBy) {
		return fmt.Errorf("order_by: %q is not a JSON Pointer such as /metadata/subject", m.OrderBy)
	}
	if m.State != "" && m.State != StateDirect && m.State != StateAtomic {
		return fmt.Errorf("state: %q is not direct or atomic", m.State)
	}
	if m.Batch != nil {
		if err := m.Batch.validate(); err != nil {
			return fmt.Errorf("batch.%w", err)
		}
	}
	if err := m.Extism.validate(); err != nil {
		return fmt.Errorf("extism.%w", err)
	}
	return nil
}

func (b Batch) validate() error {
	if b.MaxEvents < 1 || b.MaxEvents > MaxBatchEvents {
		return fmt.Errorf("max_events: %d is not from 1 to %d", b.MaxEvents, MaxBatchEvents)
	}
	if b.MaxWait < 0 || time.Duration(b.MaxWait) > MaxBatchWait {
		return fmt.Errorf("max_wait: %v is not from 0 to %v", b.MaxWait, MaxBatchWait)
	}
	return nil
}

func (e Extism) validate() error {
	if len(e.Entry) > MaxEntry {
		return fmt.Errorf("entry: %d bytes are over the limit of %d", len(e.Entry), MaxEntry)
	}
	if strings.ContainsFunc(e.Entry, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("entry: %q is not the name of an export: printable ASCII characters, none of them a blank", e.Entry)
	}
	return nil
}

func (c Capability) validate() error {
	lists := []struct {
		key, of string
		values  []string
		check   func(string) error
	}{
		{"hosts", CapabilityHTTP, c.Hosts, hostError},
		{"event_types", CapabilityEmit, c.EventTypes, globError},
		{"names", CapabilitySecret, c.Names, secretError},
	}
	switch c.Name {
	case CapabilityEmit, CapabilityKV, CapabilitySecret, CapabilityHTTP:
	default:
		return fmt.Errorf("name: %q is not a capability: there are emit, kv, secret and http", c.Name)
	}
	for _, l := range lists {
		if l.of != c.Name && l.values != nil {
			return fmt.Errorf("%s: belongs to %s, not to %s", l.key, l.of, c.Name)
		}
		if l.of == c.Name && len(l.values) == 0 {
			return fmt.Errorf("%s: %s needs at least one", l.key, c.Name)
		}
		for i, v := range l.values {
			if err := l.check(v); err != nil {
				return fmt.Errorf("%s[%d]: %w", l.key, i, err)
			}
		}
	}
	if err := textError(c.Reason); err != nil {
		return fmt.Errorf("reason: %w", err)
	}
	return nil
}

func (l Limits) validate() error {
	if l.Timeout < 0 {
		return errors.New("timeout: must be above zero")
	}
	if l.Memory != 0 && (l.Memory < 64*KiB || l.Memory >= 4*GiB) {
		return fmt.Errorf("memory: %v is not from 64KiB up to but not including 4GiB", l.Memory)
	}
	if l.Stack != 0 && (l.Stack < 64*KiB || l.Stack > 32*MiB) {
		return fmt.Errorf("stack: %v is not from 64KiB to 32MiB", l.Stack)
	}
	if l.Concurrency < 0 || l.Concurrency > 1024 {
		return fmt.Errorf("concurrency: %d is not from 1 to 1024", l.Concurrency)
	}
	return nil
}

func (r Retry) validate() error {
	if r.MaxAttempts < 0 || r.MaxAttempts > 100 {
		return fmt.Errorf("max_attempts: %d is not from 1 to 100", r.MaxAttempts)
	}
	if r.Backoff < 0 {
		return errors.New("backoff: must be above zero")
	}
	if r.MaxBackoff < 0 {
		return errors.New("max_backoff: must be above zero")
	}
	if r.MaxBackoff != 0 && r.MaxBackoff < r.Backoff {
		return fmt.Errorf("max_backoff: %v is below backoff, %v", r.MaxBackoff, r.Backoff)
	}
	return nil
}
