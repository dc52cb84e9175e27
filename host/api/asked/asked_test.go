package asked

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestReadRecordsBodyWithoutSecrets(t *testing.T) {
	for body, want := range map[string]string{
		``:                            ``,
		`not JSON`:                    ``,
		`{"name":"a","n":1.50}`:       `{"n":1.50,"name":"a"}`,
		`{"url":"https://u:p@h/x?t"}`: `{"url":"https://h/x"}`,
		`{"l":["https://h/?key=1"]}`:  `{"l":["https://h/"]}`,
		`{"url":"ht\u0000://x"}`:      `{"url":"(a URL that is malformed)"}`,
		`"` + strings.Repeat("x", maxBytes) + `"`: `{"not_recorded":"the body is longer than 8192 bytes"}`,
	} {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		got, err := Read(r)
		if err != nil || string(got) != want {
			t.Errorf("%.40s: got %s, %v; want %s", body, got, err, want)
		}
		if left, err := io.ReadAll(r.Body); err != nil || string(left) != body {
			t.Errorf("%.40s: the handler reads %.40s, %v", body, left, err)
		}
	}
}

func TestPluginIsThatOfBody(t *testing.T) {
	for text, want := range map[string]string{`{"plugin":"a","name":"b"}`: "a", `{"name":"b"}`: "b", `{"Name":"b"}`: "", `[1]`: "", ``: ""} {
		if got := Plugin([]byte(text)); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
