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

// yielded returns the n bytes that a call has yielded, in buf or a larger buffer, or
// the error of a negative n.
func yielded(call string, buf []byte, n int32) ([]byte, error) {
	if n < 0 {
		return nil, callError(call, n)
	}
	return refill(buf, n)[:n], nil
}
