package api

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/berth-host/berth/host/event"
)

// sseWriter writes server-sent events (WHATWG HTML, section 9.2.5) and keeps
// its first error.
type sseWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	err     error
}

// published writes a wire.Activity of an event: the envelope as it is stored,
// which is compact JSON without a line break, with its Seq.
func (o *sseWriter) published(rec event.Record) {
	envelope := rec.Event.Envelope()
	b := make([]byte, 0, len(envelope)+96)
	b = fmt.Appendf(b, "id: %d\nevent: published\ndata: {\"kind\":\"published\",\"event\":{\"seq\":%[1]d,", rec.Seq)
	b = append(b, envelope[1:]...) // after its brace
	o.write(append(b, "}\n\n"...))
}

func (o *sseWriter) event(kind string, v any) {
	data, err := encode(v)
	if err != nil {
		o.fail(err)
		return
	}
	// JSON on one line: a line break inside would end the field.
	o.write(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", kind, bytes.TrimSpace(data)))
}

func (o *sseWriter) comment(text string) { o.write([]byte(": " + text + "\n\n")) }

func (o *sseWriter) write(b []byte) {
	if o.err != nil {
		return
	}
	if err := o.control.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		o.fail(err)
		return
	}
	_, err := o.w.Write(b)
	o.fail(err)
}

func (o *sseWriter) flush() {
	if o.err == nil {
		o.fail(o.control.Flush())
	}
}

func (o *sseWriter) fail(err error) {
	if o.err == nil && err != nil {
		o.err = fmt.Errorf("event stream: %w", err)
	}
}
