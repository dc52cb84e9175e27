package cloudevents

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// Format is the encoding of published events.
type Format int

// The formats.
const (
	Native Format = iota // no CloudEvent
	InStructure
	InBatch
	InBinary
	Other // CloudEvents in an unsupported format
)

// FormatOf returns the format that the headers announce (CloudEvents HTTP protocol
// binding 1.0, section 3).
func FormatOf(r *http.Request) Format {
	given := r.Header.Get("Content-Type")
	if given == "application/json" && !IsBinary(r.Header) {
		return Native
	}
	kind, params, err := mime.ParseMediaType(given)
	utf8 := params["charset"] == "" || strings.EqualFold(params["charset"], "utf-8")
	switch {
	case err == nil && utf8 && kind == Structured:
		return InStructure
	case err == nil && utf8 && kind == Batch:
		return InBatch
	case strings.HasPrefix(strings.ToLower(given), "application/cloudevents"):
		return Other
	case IsBinary(r.Header):
		return InBinary
	}
	return Native
}

// Prefers reports whether Accept names CloudEvents with at least the weight of
// JSON (RFC 9110, section 12.5.1). Wildcards mean JSON.
func Prefers(accept []string) bool {
	weight := map[string]float64{}
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		weight[kind] = q
	}
	return weight[Structured] > 0 && weight[Structured] >= weight["application/json"]
}
