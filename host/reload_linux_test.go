package host

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

// An edit is refused while a process writes the file: a partial file can be a valid
// configuration.
func TestEditRefusesFileBeingWritten(t *testing.T) {
	s := startWithEcho(t, "routes: {\"*\": {}}\n")
	was := s.text()
	first, _, _ := strings.Cut(was, "\n")
	f, err := os.OpenFile(s.yaml, os.O_WRONLY|os.O_TRUNC, 0)
	check(t, err)
	defer f.Close()
	_, err = f.WriteString(first + "\n") // the routes follow later
	check(t, err)
	for _, path := range []string{disable, "/api/v1/events/plugins/echo/enable"} {
		if status, p := s.call("POST", path, nil, nil); status != http.StatusConflict || !strings.Contains(p.Detail, "is open for writing") {
			t.Errorf("%s: got %d, %+v", path, status, p)
		}
	}
	if got := s.host.live.Config(); len(got.Routes) != 1 || len(got.Handlers) != 0 {
		t.Errorf("a partial file is in force: %+v", got)
	}
	_, err = f.WriteString("routes: {\"a\": {}, \"b\": {}}\n")
	check(t, err)
	check(t, f.Close())
	if status, p := s.call("POST", disable, nil, nil); status != http.StatusOK {
		t.Errorf("after the write: got %d, %+v", status, p)
	}
	if got := s.host.live.Config(); len(got.Routes) != 2 {
		t.Errorf("the routes are %+v", got.Routes)
	}
}
