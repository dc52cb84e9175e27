package fleet

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/cmd/cluster/internal/check"
)

func setup(t *testing.T) *Recorder {
	t.Helper()
	r, err := NewRecorder(func() time.Duration { return time.Second }, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// call returns the status and the text of an answer.
func call(t *testing.T, r *Recorder, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, "http://"+r.Address()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestRefusedBeginIsNotRecorded(t *testing.T) {
	r := setup(t)
	r.Refuse(func(rec check.Record) bool { return rec.Key == "dead" })
	for _, tt := range []struct {
		path, body string
		want       int
	}{
		{"/host/handler/begin", "dead 1 1", http.StatusServiceUnavailable},
		{"/host/handler/failed", "dead 1 1", http.StatusOK},
		{"/host/handler/begin", "alive 1 1", http.StatusOK},
		{"/host/handler/other", "alive 1 1", http.StatusBadRequest},
		{"/host/handler/begin", "alive", http.StatusBadRequest},
	} {
		if got, _ := call(t, r, http.MethodPost, tt.path, tt.body); got != tt.want {
			t.Errorf("%s with %q: got %d, want %d", tt.path, tt.body, got, tt.want)
		}
	}
	r.Refuse(nil)
	if got, _ := call(t, r, http.MethodPost, "/host/handler/begin", "dead 1 2"); got != http.StatusOK {
		t.Errorf("after the refusals: got %d", got)
	}
	if got := len(r.Records()); got != 3 {
		t.Errorf("got %d records, want 3", got)
	}
}

func TestOfferedModuleIsServed(t *testing.T) {
	r := setup(t)
	r.Offer([]byte("module"))
	if status, text := call(t, r, http.MethodGet, "/a.wasm", ""); status != http.StatusOK || text != "module" {
		t.Errorf("got %d %q", status, text)
	}
	if got := len(r.Records()); got != 0 {
		t.Errorf("got %d records of a GET", got)
	}
}
