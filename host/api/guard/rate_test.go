package guard

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/berth-host/berth/host/api/problem"
)

// clock is a time that the test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func bucketsAt(c *clock, perSecond float64, burst, maxKeys int) *buckets {
	b := newBuckets(perSecond, burst, "it")
	b.now, b.maxKeys = c.now, maxKeys
	return b
}

func refused(t *testing.T, err error) bool {
	t.Helper()
	if err == nil {
		return false
	}
	var r *problem.Refusal
	if !errors.As(err, &r) || r.Status != http.StatusTooManyRequests || r.Header[0] != "Retry-After" || r.Header[1] == "0" {
		t.Fatalf("got %#v", err)
	}
	return true
}

func TestBuckets(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b := bucketsAt(c, 2, 3, 10)
	for i, want := range []bool{false, false, false, true, true} {
		if got := refused(t, b.take("a")); got != want {
			t.Fatalf("request %d: refused %v", i, got)
		}
	}
	if refused(t, b.take("b")) {
		t.Error("another key is refused as well")
	}
	c.at = c.at.Add(500 * time.Millisecond) // one more; what was refused cost nothing
	if refused(t, b.take("a")) || !refused(t, b.take("a")) {
		t.Error("after half a second there is not one more")
	}
	var none *buckets
	if none = newBuckets(0, 5, ""); none != nil || none.take("a") != nil {
		t.Error("the rate 0 is a limit")
	}
}

// The number of buckets is bounded: further keys share one, and full buckets are evicted.
func TestBucketsAreBounded(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	b := bucketsAt(c, 1, 2, 100)
	admitted := 0
	for i := range 1000 {
		if !refused(t, b.take(fmt.Sprint(i))) {
			admitted++
		}
	}
	if len(b.byKey) != 100 || admitted != 102 {
		t.Errorf("%d buckets, %d admitted; want 100 and 100 + 2", len(b.byKey), admitted)
	}
	c.at = c.at.Add(time.Hour)
	if refused(t, b.take("new")) || len(b.byKey) != 1 {
		t.Errorf("afterwards there are %d buckets", len(b.byKey))
	}
}

func TestRemoteOf(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:1234":           "192.0.2.7",
		"[::ffff:192.0.2.7]:1":     "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::6]:2": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80":        "fe80::/64",
		"@":                        "",
		"":                         "",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = remote
		r.Header.Set("X-Forwarded-For", "198.51.100.1")
		if got := remoteOf(r); got != want {
			t.Errorf("%q: got %q, want %q", remote, got, want)
		}
	}
}
