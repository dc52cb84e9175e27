package berth

import "github.com/berth-host/berth/abi/go/internal/wire"

// Trace returns the W3C traceparent of the current attempt, for requests to other services.
// ErrNotFound: the host does not trace the attempt. ErrInvalid: no event is open.
func Trace() (traceparent string, err error) {
	buf := make([]byte, 64)
	text, err := yielded("trace", buf, wire.Trace(buf))
	return string(text), err
}
