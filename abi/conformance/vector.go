package conformance

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/abi/testdata"
)

// Manifest is the manifest of the conformance handler.
//
//go:embed manifest.json
var Manifest []byte

//go:embed vectors.json
var vectorsText []byte

// EventType is the type of the events of the vectors that do not name one.
const EventType = "conform_event"

// Vector is one test case. README.md describes its members.
type Vector struct {
	Group    string               `json:"group"`
	Name     string               `json:"name"`
	Readings []int                `json:"readings,omitzero"` // of ABI.md
	Fresh    bool                 `json:"fresh,omitzero"`    // it needs a plugin of its own
	Setup    Setup                `json:"setup,omitzero"`
	Expand   map[string]Expansion `json:"expand,omitzero"`
	Steps    []Step               `json:"steps"`
}

// String returns the group and the name.
func (v Vector) String() string { return v.Group + ": " + v.Name }

// Expansion is a text that stands for a longer one.
type Expansion struct {
	Text  string `json:"text"`
	Times int    `json:"times"`
}

// Setup is what a Host prepares before it starts the plugin.
type Setup struct {
	Config   json.RawMessage   `json:"config,omitzero"`   // a JSON object; nil for none
	Deny     []string          `json:"deny,omitzero"`     // capabilities that are not granted
	Secrets  map[string]string `json:"secrets,omitzero"`  // by name
	HTTP     []Exchange        `json:"http,omitzero"`     // recorded answers
	Attempts int               `json:"attempts,omitzero"` // at maximum, for one event; 0 is 1
	State    string            `json:"state,omitzero"`    // of the manifest: atomic, or "" for direct
	Batch    int               `json:"batch,omitzero"`    // max_events of the manifest's batch; 0: it has none
}

// BatchWait is the max_wait of the manifest's batch. A step has as many events as fit into a
// batch, or one that was delivered before, so that no host waits for so long.
const BatchWait = 5 * time.Second

// Apply adds State and Batch to the handler's manifest.
func (s Setup) Apply(m *abi.Manifest) {
	m.State = s.State
	if s.Batch > 0 {
		m.Batch = &abi.Batch{MaxEvents: s.Batch, MaxWait: abi.Duration(BatchWait)}
	}
}

// MaxAttempts returns how often an event is delivered at maximum.
func (s Setup) MaxAttempts() int { return max(1, s.Attempts) }

// Exchange is a recorded answer to an HTTP request.
type Exchange struct {
	Request  Request   `json:"request"`
	Response *Response `json:"response,omitzero"`
	Error    string    `json:"error,omitzero"` // UNAVAILABLE, TIMEOUT or TOO_LARGE; "" with a Response
}

// Request is the request of an Exchange.
type Request struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	Header string `json:"header,omitzero"` // of x-conform
	Body   string `json:"body,omitzero"`
}

// Response is the response of an Exchange.
type Response struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers,omitzero"`
	Body    string            `json:"body,omitzero"`
}

// Step publishes events, and says how their deliveries end.
type Step struct {
	Data   json.RawMessage `json:"data,omitzero"`  // of an event of EventType
	Event  json.RawMessage `json:"event,omitzero"` // a producer's envelope, instead of Data
	Pad    int             `json:"pad,omitzero"`   // bytes of the envelope, about
	Repeat int             `json:"repeat,omitzero"`
	Expect Expect          `json:"expect,omitzero"`
	// Together has the events of a batch, instead of the members above.
	Together []Part `json:"together,omitzero"`
}

// Part is one event of EventType in a batch.
type Part struct {
	Data   json.RawMessage `json:"data"`
	Expect Expect          `json:"expect"`
}

// Parts returns the events of the step, each as a step of its own.
func (s Step) Parts() []Step {
	if s.Together == nil {
		return slices.Repeat([]Step{s}, max(1, s.Repeat))
	}
	steps := make([]Step, len(s.Together))
	for i, part := range s.Together {
		steps[i] = Step{Data: part.Data, Expect: part.Expect}
	}
	return steps
}

// Expect is what a delivery ends with.
type Expect struct {
	Status   string          `json:"status,omitzero"` // "" is ok
	Attempts int             `json:"attempts,omitzero"`
	Result   json.RawMessage `json:"result,omitzero"`
	Text     *string         `json:"text,omitzero"`
	Typed    bool            `json:"typed,omitzero"`
	Envelope bool            `json:"envelope,omitzero"`
	Reason   *string         `json:"reason,omitzero"`
	Contains string          `json:"contains,omitzero"`
	Class    string          `json:"class,omitzero"`
	Children []Child         `json:"children,omitzero"`
	Logs     []Log           `json:"logs,omitzero"`
	Flat     bool            `json:"flat,omitzero"`
	OneOf    []Expect        `json:"one_of,omitzero"`
}

// Vectors returns the vectors of vectors.json and those made of abi/testdata/pointer.json.
func Vectors() ([]Vector, error) {
	var vectors []Vector
	if err := decode(vectorsText, &vectors); err != nil {
		return nil, fmt.Errorf("vectors.json: %w", err)
	}
	for i, v := range vectors {
		expanded, err := v.expand()
		if err != nil {
			return nil, fmt.Errorf("vectors.json: %s: %w", v, err)
		}
		vectors[i] = expanded
	}
	pointers, err := pointerVector()
	return append(vectors, pointers), err
}

func decode(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// expand replaces the short texts of the vector.
func (v Vector) expand() (Vector, error) {
	if len(v.Expand) == 0 {
		return v, nil
	}
	short := v.Expand
	v.Expand = nil
	text, err := encode(v)
	if err != nil {
		return v, err
	}
	for name, e := range short {
		if !bytes.Contains(text, []byte(name)) {
			return v, fmt.Errorf("it has no %s", name)
		}
		text = bytes.ReplaceAll(text, []byte(name), []byte(strings.Repeat(e.Text, e.Times)))
	}
	var out Vector
	err = decode(text, &out)
	return out, err
}

// encode is json.Marshal without escapes that JSON does not need.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// pointerVector makes one vector of the cases of abi/testdata/pointer.json. Documents that
// are not spelled as an event's data is after its publication are left to other tests.
func pointerVector() (Vector, error) {
	var cases []struct {
		Name, Doc, Pointer, Want, Code string
	}
	v := Vector{Group: "pointers", Name: "abi/testdata/pointer.json", Readings: []int{12, 13, 14, 15}}
	if err := json.Unmarshal(testdata.Pointer, &cases); err != nil {
		return v, fmt.Errorf("pointer.json: %w", err)
	}
	for _, c := range cases {
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(c.Doc)); err != nil || compact.String() != c.Doc {
			continue
		}
		pointer, err := encode(documentPointer(c.Pointer, c.Code))
		if err != nil {
			return v, err
		}
		result := map[string]string{"value": c.Want}
		if c.Code != "" {
			result = map[string]string{"error": c.Code}
		}
		want, err := encode(result)
		if err != nil {
			return v, err
		}
		v.Steps = append(v.Steps, Step{
			Data:   fmt.Appendf(nil, `{"op":"field","pointer":%s,"doc":%s}`, pointer, c.Doc),
			Expect: Expect{Result: want},
		})
	}
	return v, nil
}

// documentPointer returns the pointer to a part of the document within the event. A
// malformed pointer stays malformed.
func documentPointer(pointer, code string) string {
	if code == "INVALID" && !strings.HasPrefix(pointer, "/") {
		return pointer
	}
	return "/data/doc" + pointer
}

// draft returns the producer's envelope of a step.
func (s Step) draft() (json.RawMessage, error) {
	if s.Event != nil {
		return s.Event, nil
	}
	data := s.Data
	if s.Pad > 0 {
		const metadata = 700 // at maximum, of an envelope with short texts
		prefix, ok := bytes.CutSuffix(data, []byte("}"))
		fill := s.Pad - metadata - len(data)
		if !ok || fill < 0 {
			return nil, fmt.Errorf("data cannot be padded to %d bytes", s.Pad)
		}
		data = fmt.Appendf(nil, `%s,"pad":"%s"}`, prefix, strings.Repeat("x", fill))
	}
	return fmt.Appendf(nil, `{"event_type":%q,"data":%s}`, EventType, data), nil
}

// sameJSON reports whether two texts are JSON of the same value.
func sameJSON(a, b []byte) bool { return strictjson.Valid(a) && strictjson.Equal(a, b) }
