package stream

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// ContentType is the media type of server-sent events.
const ContentType = "text/event-stream"

// writeTimeout bounds the time in which a reader must accept what is sent.
const writeTimeout = 10 * time.Second

// Writer writes server-sent events (WHATWG HTML, section 9.2.5). It keeps its first error
// and then writes nothing more.
type Writer struct {
	Err error

	w       http.ResponseWriter
	control *http.ResponseController
}

// NewWriter starts the answer with status 200.
func NewWriter(w http.ResponseWriter) *Writer {
	w.Header().Set("Content-Type", ContentType)
	w.Header().Set("X-Accel-Buffering", "no") // nginx would buffer the events
	w.WriteHeader(http.StatusOK)
	return &Writer{w: w, control: http.NewResponseController(w)}
}

// published writes a wire.Activity of an event: its Seq and its envelope as it is stored,
// which is compact JSON without a line break.
func (o *Writer) published(rec event.Record) {
	envelope := rec.Event.Envelope()
	b := make([]byte, 0, len(envelope)+96)
	b = fmt.Appendf(b, "id: %d\nevent: published\ndata: {\"kind\":\"published\",\"event\":{\"seq\":%[1]d,", rec.Seq)
	b = append(b, envelope[1:]...) // after its brace
	o.write(append(b, "}\n\n"...))
}

// Event writes an event with a JSON value as its data.
func (o *Writer) Event(kind string, v any) {
	data, err := wire.Encode(v)
	if err != nil {
		o.fail(err)
		return
	}
	// A line break inside the data would end the field.
	o.write(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", kind, bytes.TrimSpace(data)))
}

func (o *Writer) comment(text string) { o.write([]byte(": " + text + "\n\n")) }

func (o *Writer) write(b []byte) {
	if o.Err != nil {
		return
	}
	if err := o.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		o.fail(err)
		return
	}
	_, err := o.w.Write(b)
	o.fail(err)
}

// Flush sends what is written.
func (o *Writer) Flush() {
	if o.Err == nil {
		o.fail(o.control.Flush())
	}
}

func (o *Writer) fail(err error) {
	if o.Err == nil && err != nil {
		o.Err = fmt.Errorf("event stream: %w", err)
	}
}
