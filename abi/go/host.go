package berth

import "github.com/berth-host/berth/abi/go/internal/wire"

// RawConfig returns the handler's configuration as JSON text, "{}" when it has
// none. It does not change while an instance lives: read it once, before Run.
func RawConfig() string {
	buf := make([]byte, 1024)
	text, err := yielded("config", buf, wire.Config(buf))
	if err != nil {
		panic(err.Error()) // the host always has one
	}
	return string(text)
}

// Secret returns a secret by name. It needs the capability secret for that
// name: ErrDenied without it, ErrNotFound when the host has no such secret.
func Secret(name string) (string, error) {
	buf := make([]byte, 256)
	text, err := yielded("secret", buf, wire.Secret(name, buf))
	return string(text), err
}

// KV is the plugin's durable state, shared by all its instances and versions. Each
// call is its own transaction and takes effect at once, also if the event fails.
// Keys are 1 to 256 bytes, values at most 1 MiB (ErrTooLarge). It needs the capability
// kv (ErrDenied).
var KV kv

type kv struct{}

// Get returns the value of a key, or ErrNotFound.
func (kv) Get(key string) ([]byte, error) {
	buf := make([]byte, 1024)
	return yielded("kv_get", buf, wire.KVGet(key, buf))
}

// Set writes a value; the last write wins.
func (kv) Set(key string, value []byte) error {
	return failed("kv_set", wire.KVSet(key, value))
}

// CAS writes a value only if the current one equals old, or, when old is nil,
// only if there is none. Otherwise it returns ErrConflict.
func (kv) CAS(key string, old, value []byte) error {
	return failed("kv_cas", wire.KVCAS(key, old, value))
}

// Delete removes a key. A key that is not there is no error.
func (kv) Delete(key string) error {
	return failed("kv_delete", wire.KVDelete(key))
}

// Child is an event that follows from the one being handled.
type Child struct {
	Type           string
	Data           string // JSON text; "" is null
	Subject        string // "": none
	IdempotencyKey string // "": the host derives one from the parent's
}

// Emit adds a child to the open event. The host publishes all children together when
// the event succeeds, and once, also if the event is delivered again. An event may
// have 64. It needs the capability emit for the
// child's type (ErrDenied).
func Emit(c Child) error {
	if c.Data == "" {
		c.Data = "null"
	}
	var child, metadata Object
	child.Str("event_type", c.Type).Raw("data", c.Data)
	if c.IdempotencyKey != "" {
		metadata.Str("idempotency_key", c.IdempotencyKey)
	}
	if c.Subject != "" {
		metadata.Str("subject", c.Subject)
	}
	if c.IdempotencyKey != "" || c.Subject != "" {
		child.Raw("metadata", metadata.Text())
	}
	return failed("emit", wire.Emit(child.Text()))
}

// yielded returns the n bytes that a call has yielded, in buf or a larger buffer, or
// the error of a negative n.
func yielded(call string, buf []byte, n int32) ([]byte, error) {
	if n < 0 {
		return nil, callError(call, n)
	}
	return refill(buf, n)[:n], nil
}
