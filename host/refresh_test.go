package host

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/marketplace/format"
	"github.com/berth-host/berth/host/marketplace/publish"
	"github.com/berth-host/berth/host/wire"
)

// timers are the timers that a host starts between refreshes of its list.
type timers chan fakeTimer

type fakeTimer struct {
	wait time.Duration
	fire chan time.Time
}

func (a timers) set(c *Config) {
	c.newTimer = func(d time.Duration) (<-chan time.Time, func() bool) {
		one := fakeTimer{d, make(chan time.Time, 1)}
		a <- one
		return one.fire, func() bool { return true }
	}
}

// next returns the timer started next, and checks its duration to 11 %.
func (a timers) next(t *testing.T, about time.Duration) fakeTimer {
	t.Helper()
	select {
	case one := <-a:
		if one.wait < about*89/100 || one.wait > about*111/100 {
			t.Errorf("the timer waits for %v, want about %v", one.wait, about)
		}
		return one
	case <-time.After(30 * time.Second):
		t.Fatal("no timer was started")
	}
	return fakeTimer{}
}

// lines is a log that a test can search.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// The host learns of a revocation without a request by a client, logs a marketplace that
// is down once, and applies changes of the configuration.
func TestListIsRefreshedInBackground(t *testing.T) {
	b := openMarketplace(t)
	release := b.release("echo", `{"name":"echo","version":"1.0.0"}`)
	_, err := b.tree.Sign(t.Context(), publish.Signing{Name: "bazaar", Expires: time.Now().Add(time.Hour)}, b.by)
	check(t, err)
	set := make(timers, 100)
	var log lines
	s := b.startHost(set.set, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	due := set.next(t, time.Minute) // the minimum, without a list
	if n := b.requests(); n != 0 {
		t.Errorf("the start made %d requests", n)
	}
	if status, p := s.call("POST", "/api/v1/plugins/install", wire.Install{Name: "echo"}, nil); status != http.StatusCreated {
		t.Fatalf("%+v", p)
	}
	warned := func() bool {
		var p wire.Plugin
		s.call("GET", "/api/v1/plugins/echo", nil, &p)
		return strings.Contains(p.Reason, "the marketplace has revoked it: stolen")
	}
	due.fire <- time.Now()
	due = set.next(t, 6*time.Hour)
	if warned() {
		t.Error("the plugin is revoked before the list says so")
	}
	b.sign(func(r *format.Root) { r.Revoked = []format.Revocation{{SHA256: release.SHA256, Reason: "stolen"}} })
	for range 2 {
		due.fire <- time.Now()
		due = set.next(t, 6*time.Hour)
	}
	if !warned() || log.count("THE MARKETPLACE HAS REVOKED AN INSTALLED PLUGIN") != 1 {
		t.Error("the revocation is not reported once")
	}

	b.answer("/root.json", http.NotFound)
	for range 3 {
		due.fire <- time.Now()
		due = set.next(t, 6*time.Hour) // from the age of the list
	}
	if n := log.count("marketplace list not refreshed"); n != 1 {
		t.Errorf("the failure is logged %d times, want once", n)
	}
	if status := s.host.sources.Status(); status.Failures != 3 || !status.Enabled || status.Fetched.IsZero() {
		t.Errorf("after three failures: %+v", status)
	}
	b.sign(func(r *format.Root) { r.Sequence += 10 })
	due.fire <- time.Now()
	due = set.next(t, 6*time.Hour)
	if log.count("marketplace list refreshed again") != 1 || warned() {
		t.Error("the recovery is not logged once, or the revocation remains")
	}

	// The operator disables the marketplace and enables it again.
	configure := func(from, to string) {
		t.Helper()
		text, err := os.ReadFile(s.yaml)
		check(t, err)
		if !strings.Contains(string(text), from) {
			t.Fatalf("there is no %q in %s", from, text)
		}
		check(t, os.WriteFile(s.yaml, []byte(strings.Replace(string(text), from, to, 1)), 0o600))
		_, err = s.host.live.Reload(t.Context())
		check(t, err)
	}
	b.sign(func(r *format.Root) {
		r.Sequence += 20
		r.Revoked = []format.Revocation{{SHA256: release.SHA256, Reason: "stolen"}}
	})
	due.fire <- time.Now()
	set.next(t, 6*time.Hour)
	configure("enabled: true", "enabled: false")
	if warned() {
		t.Error("a disabled marketplace revokes a plugin")
	}
	before := b.requests()
	configure("enabled: false", "enabled: true\n  refresh: 1h")
	if !warned() { // before any request
		t.Error("the revocation of the stored list has no effect")
	}
	set.next(t, time.Hour)
	if b.requests() != before {
		t.Error("a reload sent a request to the marketplace")
	}
}

// Without a marketplace, or with a refresh of 0s, the host starts no timer.
func TestDisabledMarketplaceIsNotRefreshed(t *testing.T) {
	for _, config := range []string{
		"plugin_directories: []\n",
		"plugin_directories: []\nmarketplace: {enabled: false, index_url: \"https://127.0.0.1:1/\"}\n",
		"plugin_directories: []\nmarketplace: {enabled: true, index_url: \"https://127.0.0.1:1/\", refresh: 0s}\n",
	} {
		set := make(timers, 1)
		s := startHost(t, config, marketplace.Config{}, set.set)
		_, err := s.host.live.Reload(t.Context())
		check(t, err)
		check(t, s.host.Close(context.Background())) // waits for the goroutine that would start one
		if len(set) != 0 {
			t.Errorf("%s: a refresh is due in %v", config, (<-set).wait)
		}
	}
}

// A fetch in progress ends when the marketplace is disabled or reconfigured.
func TestDisablingMarketplaceEndsFetch(t *testing.T) {
	for _, to := range []string{"enabled: false", "enabled: true\n  minimum_release_age: 1h"} {
		b := openMarketplace(t)
		set := make(timers, 100)
		s := b.startHost(set.set, func(c *Config) { c.fetch.Timeout, c.fetch.Stall = 10*time.Minute, 10*time.Minute })
		begun, ended := make(chan struct{}), make(chan struct{})
		var once sync.Once
		b.answer("/root.json.minisig", func(_ http.ResponseWriter, r *http.Request) {
			once.Do(func() {
				close(begun)
				<-r.Context().Done()
				close(ended)
			})
		})
		due := set.next(t, time.Minute)
		due.fire <- time.Now()
		wait := func(what string, ch <-chan struct{}) {
			t.Helper()
			select {
			case <-ch:
			case <-time.After(30 * time.Second):
				t.Fatal(what)
			}
		}
		wait("nothing is fetched", begun)
		text, err := os.ReadFile(s.yaml)
		check(t, err)
		put(t, s.yaml, strings.Replace(string(text), "enabled: true", to, 1))
		wait(to+": the fetch continues", ended)
		check(t, s.host.Close(t.Context()))
	}
}
