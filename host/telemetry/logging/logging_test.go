package logging_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/telemetry/logging"
)

func TestLevelsAndFormats(t *testing.T) {
	levels := []string{"debug", "info", "warn", "error"}
	for i, level := range levels {
		for _, format := range []string{logging.Text, logging.JSON} {
			var out bytes.Buffer
			logger, err := logging.New(&out, format, level)
			if err != nil {
				t.Fatal(err)
			}
			logger.Debug("d")
			logger.Info("i")
			logger.Warn("w")
			logger.Error("e")
			if got, want := strings.Count(out.String(), "\n"), len(levels)-i; got != want {
				t.Errorf("%s, %s: %d lines, want %d", format, level, got, want)
			}
		}
	}
	for _, tt := range [][2]string{{"", "info"}, {"xml", "info"}, {"text", ""}, {"json", "INFO"}} {
		if _, err := logging.New(new(bytes.Buffer), tt[0], tt[1]); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %v", tt, err)
		}
	}
}

type stringer struct{}

func (stringer) String() string { return "a\u009bb" }

func TestValuesInJSON(t *testing.T) {
	var out bytes.Buffer
	logger, err := logging.New(&out, logging.JSON, "info")
	if err != nil {
		t.Fatal(err)
	}
	logger.With("plugin", "p\u009b").Info("é \u202e\n€", "error", errors.New("bad\u0085"), "in", 1500*time.Millisecond, "n", 3,
		"as", stringer{}, "list", []string{"x"}, slog.Group("g", "k", "v\u200b"))
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "time")
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"as":"a�b","error":"bad�","g":{"k":"v�"},"in":"1.5s","level":"INFO","list":["x"],"msg":"é �\n€","n":3,"plugin":"p�"}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

// refusal is an error whose nil pointer has no text.
type refusal struct{ reason string }

// Error implements error.
func (r *refusal) Error() string { return r.reason }

func TestNilError(t *testing.T) {
	for _, format := range []string{logging.Text, logging.JSON} {
		var out bytes.Buffer
		logger, err := logging.New(&out, format, "info")
		if err != nil {
			t.Fatal(err)
		}
		var none *refusal
		logger.Info("m", "error", none)
		if strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%s: got %q", format, &out)
		}
	}
}

// FuzzLine: whatever a text is, a record is one line that parses and has the text in its place,
// without a character that is not printable.
func FuzzLine(f *testing.F) {
	for _, seed := range []string{"", "x", "a\nb", `","level":"ERROR`, "\x1b[2J\u009b", "\xff\xfe", "\u2028\u202e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range []string{logging.Text, logging.JSON} {
			var out bytes.Buffer
			logger, err := logging.New(&out, format, "info")
			if err != nil {
				t.Fatal(err)
			}
			logger.Info(text, "source", "guest", "error", text)
			line := out.String()
			if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
				t.Fatalf("not one line: %q", line)
			}
			if i := strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return !unicode.IsPrint(r) && r != unicode.ReplacementChar }); i >= 0 {
				t.Fatalf("not printable at %d: %q", i, line)
			}
			if format == logging.Text {
				continue
			}
			var got struct{ Level, Msg, Source, Error string }
			if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Level != "INFO" || got.Source != "guest" || got.Msg != got.Error {
				t.Fatalf("got %+v, %v of %q", got, err, line)
			}
		}
	})
}
