package index_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/marketplace/format"
	"github.com/berth-host/berth/host/marketplace/index"
	"github.com/berth-host/berth/host/spec"
)

func TestListings(t *testing.T) {
	s := stocked(t)
	check(t, s.tree.Mark("acme/echo@1.0.0", func(v *format.PageVersion) { v.Deprecated = "old" }))
	s.sign(format.Revocation{Release: "emca/echo@9.0.0", Reason: "stolen key"})
	c := s.client()
	names := func(q spec.ListingQuery) string {
		t.Helper()
		p, err := c.Listings(t.Context(), q)
		check(t, err)
		var list []string
		for _, l := range p.Items {
			list = append(list, l.Publisher+"/"+l.Name+"@"+l.Latest.Version)
		}
		return strings.Join(list, " ") + " " + p.Next
	}
	for _, tt := range []struct {
		q    spec.ListingQuery
		want string
	}{
		{spec.ListingQuery{}, "acme/beta@0.1.0-beta.1 acme/count@0.1.0 acme/echo@1.1.0 emca/echo@ "},
		{spec.ListingQuery{Limit: 2}, "acme/beta@0.1.0-beta.1 acme/count@0.1.0 count/acme"},
		{spec.ListingQuery{Limit: 2, Cursor: "count/acme"}, "acme/echo@1.1.0 emca/echo@ "},
		{spec.ListingQuery{Cursor: "echo/emca"}, " "},
		{spec.ListingQuery{Text: "ECHO acme"}, "acme/echo@1.1.0 "},
		{spec.ListingQuery{Text: "count the"}, "acme/count@0.1.0 "},
		{spec.ListingQuery{Text: "emca/echo"}, "emca/echo@ "},
		{spec.ListingQuery{Publisher: "emca"}, "emca/echo@ "},
		{spec.ListingQuery{Text: "nothing of it"}, " "},
	} {
		if got := names(tt.q); got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.q, got, tt.want)
		}
	}
	for _, q := range []spec.ListingQuery{{Limit: -1}, {Limit: 201}, {Cursor: "x"}, {Cursor: "../x"}, {Text: strings.Repeat("x", 300)}} {
		if _, err := c.Listings(t.Context(), q); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: got %v", q, err)
		}
	}
	p, err := c.Listings(t.Context(), spec.ListingQuery{Text: "acme/echo"})
	check(t, err)
	l := p.Items[0]
	if l.Description != "The echo of acme" || l.License != "MIT" || len(l.Versions) != 3 || l.Versions[0].Version != "2.0.0-rc.1" || l.Versions[2].Deprecated != "old" || l.Key == "" {
		t.Errorf("got %+v", l)
	}
	if p.Stale || p.Expired || p.Unsigned || !p.Fetched.Equal(today) || !p.Expires.Equal(expires) || p.Marketplace != "acme-plugins" || p.Sequence != 2 {
		t.Errorf("got %+v", p)
	}
	p, err = c.Listings(t.Context(), spec.ListingQuery{Publisher: "emca"})
	check(t, err)
	if p.Items[0].Versions[0].Revoked != "stolen key" {
		t.Errorf("got %+v", p.Items[0])
	}
	if n := s.times("/root.json"); n != 1 {
		t.Errorf("the root was fetched %d times", n)
	}
}

// A list is fetched again only when it is old, and of its pages only the changed.
func TestRefresh(t *testing.T) {
	s := stocked(t)
	c := s.client()
	list := func() index.Page {
		t.Helper()
		p, err := c.Listings(t.Context(), spec.ListingQuery{})
		check(t, err)
		return p
	}
	list()
	s.plugin("acme", "echo", "1.2.0", "", today)
	s.sign()
	s.wait(5 * time.Minute)
	if p := list(); p.Sequence != 1 {
		t.Errorf("a young list was replaced by %d", p.Sequence)
	}
	s.wait(time.Second)
	if p := list(); p.Sequence != 2 || p.Items[2].Latest.Version != "1.2.0" || p.Stale {
		t.Errorf("got %+v", p)
	}
	if a, b := s.times("/p/acme/echo.json"), s.times("/p/acme/count.json"); a != 2 || b != 1 {
		t.Errorf("the changed page was fetched %d times, the other %d", a, b)
	}
}

// A marketplace that is down leaves the list that there is, marked, also after a
// restart; without one there is an error.
func TestDown(t *testing.T) {
	s := stocked(t)
	state := filepath.Join(t.TempDir(), "marketplace.json")
	same := func(c *index.Config) { c.State = state }
	c := s.client(same)
	down := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "closed", http.StatusServiceUnavailable) }
	s.answer("*", down)
	for range 2 {
		_, err := c.Listings(t.Context(), spec.ListingQuery{})
		if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "503") {
			t.Errorf("without a list: %v", err)
		}
	}
	if n := s.times("/root.json.minisig"); n != 1 {
		t.Errorf("it was asked %d times in one moment", n)
	}
	s.wait(31 * time.Second)
	s.answer("*", nil)
	if p, err := c.Listings(t.Context(), spec.ListingQuery{}); err != nil || p.Stale {
		t.Errorf("it is back: %+v, %v", p, err)
	}
	since := s.clock()
	s.answer("*", down)
	s.wait(time.Hour)
	for _, c := range []*index.Client{c, s.client(same)} {
		p, err := c.Listings(t.Context(), spec.ListingQuery{})
		if err != nil || !p.Stale || p.Expired || !p.Fetched.Equal(since) || len(p.Items) != 4 || !strings.Contains(p.Problem, "503") {
			t.Errorf("got %+v, %v", p, err)
		}
	}
	s.wait(1000 * time.Hour)
	p, err := c.Listings(t.Context(), spec.ListingQuery{})
	if err != nil || !p.Expired || !p.Stale {
		t.Errorf("got %+v, %v", p, err)
	}
	// Without the network: what is revoked, of the list there is.
	if _, err := s.client(same).Revoked(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.client().Revoked(t.Context()); !fault.Is(err, fault.NotFound) {
		t.Errorf("without a list: %v", err)
	}
}

// TestMarketplaceThatDoesNotAnswer: it is not waited for while there is a list.
func TestMarketplaceThatDoesNotAnswer(t *testing.T) {
	s := stocked(t)
	c := s.client(func(c *index.Config) { c.ListTimeout = 20 * time.Millisecond })
	_, err := c.Listings(t.Context(), spec.ListingQuery{})
	check(t, err)
	s.answer("*", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s.wait(time.Hour)
	p, err := c.Listings(t.Context(), spec.ListingQuery{})
	if err != nil || !p.Stale || !strings.Contains(p.Problem, "not answered yet") {
		t.Errorf("got %+v, %v", p, err)
	}
}

// bad is one way in which a marketplace is not as it must be.
type bad struct {
	name string
	do   func(*shop)
	code fault.Code
	kind format.Kind // "": none
	text string
}

// kept reports whether a client that has the pages already does not notice the fault.
func (b bad) kept() bool {
	return b.name == "a changed page" || b.name == "a page that grew" || b.name == "an error"
}

// badRoots are refused for every use.
func badRoots(t *testing.T) []bad {
	root := func(change func(string) string) func(*shop) {
		return func(s *shop) {
			path := filepath.Join(s.dir, "root.json")
			text, err := os.ReadFile(path)
			check(t, err)
			changed := change(strings.Replace(string(text), `"sequence": 1`, `"sequence": 2`, 1))
			check(t, os.WriteFile(path, []byte(changed), 0o644))
			check(t, os.WriteFile(path+".minisig", signer(t, "marketplace").Sign([]byte(changed), "x"), 0o644))
		}
	}
	swap := func(old, new string) func(*shop) {
		return root(func(text string) string {
			if !strings.Contains(text, old) {
				t.Fatalf("the root has no %q", old)
			}
			return strings.Replace(text, old, new, 1)
		})
	}
	file := func(path string, content []byte) func(*shop) {
		return func(s *shop) { check(t, os.WriteFile(filepath.Join(s.dir, path), content, 0o644)) }
	}
	answer := func(path string, h http.HandlerFunc) func(*shop) { return func(s *shop) { s.answer(path, h) } }
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		}
	}
	return []bad{
		{"no signature", func(s *shop) { check(t, os.Remove(filepath.Join(s.dir, "root.json.minisig"))) }, fault.Denied, format.NoSignature, "is not signed"},
		{"an empty signature", file("root.json.minisig", nil), fault.Denied, format.EmptySignature, "is empty"},
		{"a truncated signature", file("root.json.minisig", []byte("untrusted comment: x\nRW")), fault.Denied, format.TruncatedSignature, "cut off"},
		{"a page for a signature", file("root.json.minisig", []byte("<html>\n")), fault.Denied, format.MalformedSignature, "line 1"},
		{"another key's signature", func(s *shop) {
			text, err := os.ReadFile(filepath.Join(s.dir, "root.json"))
			check(t, err)
			file("root.json.minisig", signer(t, "other").Sign(text, "x"))(s)
		}, fault.Denied, format.WrongKey, "add it to marketplace.trusted_keys"},
		{"a root that was changed", file("root.json", []byte(`{"format":"berth-marketplace-v1"}`)), fault.Denied, format.BadSignature, "is not what was signed"},
		{"another format", swap("marketplace-v1", "marketplace-v2"), fault.Denied, format.UnknownFormat, "cannot read it"},
		{"a path upwards", swap("p/acme/echo.json", "p/../echo.json"), fault.Denied, format.BadPath, "p/../echo.json"},
		{"a page that is not there", swap("p/acme/echo.json", "p/acme/ohce.json"), fault.Denied, format.Absent, "is not there"},
		{"a digest that is none", root(func(text string) string {
			i := strings.Index(text, `"sha256": "`) + len(`"sha256": "`)
			return text[:i] + "g" + text[i+1:]
		}), fault.Denied, format.Malformed, "is not a SHA-256"},
		{"a changed page", func(s *shop) {
			path := filepath.Join(s.dir, "p/acme/echo.json")
			text, err := os.ReadFile(path)
			check(t, err)
			check(t, os.WriteFile(path, []byte(strings.Replace(string(text), "echo of", "ohce of", 1)), 0o644))
		}, fault.Denied, format.WrongDigest, "was signed"},
		{"a page that grew", func(s *shop) {
			f, err := os.OpenFile(filepath.Join(s.dir, "p/acme/echo.json"), os.O_APPEND|os.O_WRONLY, 0)
			check(t, err)
			fmt.Fprint(f, " ")
			check(t, f.Close())
		}, fault.Denied, format.WrongSize, "larger than"},
		{"an oversized root", answer("/root.json", func(w http.ResponseWriter, _ *http.Request) {
			for range 5 << 10 {
				_, _ = w.Write(make([]byte, 1<<10))
			}
		}), fault.Unavailable, "", "over the limit of 4194304 bytes"},
		{"a gzip bomb", answer("/root.json", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, "\x1f\x8b")
		}), fault.Unavailable, "", `encoded as "gzip"`},
		{"a slow loris", answer("/root.json", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				fmt.Fprint(w, " ")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(time.Millisecond):
				}
			}
		}), fault.Timeout, "", "in time"},
		{"led to loopback", answer("/root.json", redirect("https://127.0.0.2/")), fault.Unavailable, "", "redirects to another URL: 127.0.0.2 is not an address of the public internet"},
		{"led to a cloud's metadata", answer("/root.json.minisig", redirect("http://169.254.169.254/")), fault.Unavailable, "", "must be https"},
		{"led to a file", answer("/root.json", redirect("file:///etc/passwd")), fault.Unavailable, "", "must begin with https://"},
		{"an error", answer("/p/acme/count.json", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }), fault.Unavailable, "", "500"},
		{"cut off", answer("/root.json", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, "{")
		}), fault.Unavailable, "", "EOF"},
	}
}

// TestBadMarketplace: every fault is refused with its own error, and changes nothing on
// disk: neither an empty directory nor a good list.
func TestBadMarketplace(t *testing.T) {
	for _, tt := range badRoots(t) {
		t.Run(tt.name, func(t *testing.T) {
			s := stocked(t)
			dir := t.TempDir()
			short := func(c *index.Config) {
				c.State = filepath.Join(dir, "marketplace.json")
				if tt.code == fault.Timeout {
					c.RefreshTimeout = 400 * time.Millisecond
				}
			}
			refused := func(err error) {
				t.Helper()
				kind := format.Kind("")
				errors.As(err, &kind)
				if !fault.Is(err, tt.code) || kind != tt.kind || !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), s.server.URL) {
					t.Errorf("got %s %q %v, want %s %q %q", fault.CodeOf(err), kind, err, tt.code, tt.kind, tt.text)
				}
			}
			// With a good list before.
			good := s.client(short)
			_, err := good.Listings(t.Context(), spec.ListingQuery{})
			check(t, err)
			before, err := os.ReadFile(filepath.Join(dir, "marketplace.json"))
			check(t, err)
			tt.do(s)
			s.wait(time.Hour)
			p, err := good.Listings(t.Context(), spec.ListingQuery{})
			if err != nil || p.Stale == tt.kept() || len(p.Items) != 4 || !tt.kept() && !strings.Contains(p.Problem, tt.text) {
				t.Errorf("the list there was: stale %v, %d items, %q, %v", p.Stale, len(p.Items), p.Problem, err)
			}
			if after, err := os.ReadFile(filepath.Join(dir, "marketplace.json")); err != nil || (string(after) != string(before)) != tt.kept() {
				t.Errorf("the state was changed: %v", err)
			}
			// Without one.
			dir = t.TempDir()
			_, err = s.client(short).Listings(t.Context(), spec.ListingQuery{})
			refused(err)
			_, err = s.client(short).Resolve(t.Context(), "count", "")
			refused(err)
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Errorf("on disk there is %v, %v", left, err)
			}
		})
	}
}

// An older root is refused, also after a restart; so is a changed one of the same
// sequence.
func TestDowngrade(t *testing.T) {
	s := stocked(t)
	keep := func() map[string][]byte {
		files := map[string][]byte{}
		for _, name := range []string{"root.json", "root.json.minisig"} {
			text, err := os.ReadFile(filepath.Join(s.dir, name))
			check(t, err)
			files[name] = text
		}
		return files
	}
	put := func(files map[string][]byte) {
		for name, text := range files {
			check(t, os.WriteFile(filepath.Join(s.dir, name), text, 0o644))
		}
	}
	first := keep()
	s.sign(format.Revocation{Release: "acme/count@0.1.0", Reason: "loses events"})
	second := keep()
	state := filepath.Join(t.TempDir(), "marketplace.json")
	same := func(c *index.Config) { c.State = state }
	c := s.client(same)
	_, err := c.Listings(t.Context(), spec.ListingQuery{})
	check(t, err)
	put(first)
	for _, c := range []*index.Client{c, s.client(same)} {
		s.wait(time.Hour)
		p, err := c.Listings(t.Context(), spec.ListingQuery{})
		if err != nil || p.Sequence != 2 || !p.Stale || !strings.Contains(p.Problem, "has the sequence 1, but 2 was seen already") {
			t.Errorf("got %+v, %v", p, err)
		}
		if _, err := c.Resolve(t.Context(), "count", ""); !errors.Is(err, format.Older) || !fault.Is(err, fault.Denied) {
			t.Errorf("got %v", err)
		}
	}
	// The sequence is remembered even when the list itself is of no use any more.
	for _, name := range []string{"root.json", "root.json.minisig"} {
		s.answer("/mirror/"+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, filepath.Join(s.dir, name)) })
	}
	other := s.client(same, func(c *index.Config) { c.URL = s.server.URL + "/mirror" })
	if _, err := other.Listings(t.Context(), spec.ListingQuery{}); !errors.Is(err, format.Older) {
		t.Errorf("by another URL: %v", err)
	}
	text := strings.Replace(string(second["root.json"]), "loses", "gains", 1)
	put(map[string][]byte{"root.json": []byte(text), "root.json.minisig": signer(t, "marketplace").Sign([]byte(text), "x")})
	if _, err := c.Resolve(t.Context(), "count", ""); !errors.Is(err, format.Older) || !strings.Contains(err.Error(), "still has the sequence 2") {
		t.Errorf("the same sequence: %v", err)
	}
	put(second)
	if _, err := c.Resolve(t.Context(), "count", ""); !errors.Is(err, format.Revoked) {
		t.Errorf("got %v", err)
	}
	revoked, err := c.Revoked(t.Context())
	if err != nil || len(revoked) != 1 || len(revoked[0].SHA256) != 64 || revoked[0].Release != "acme/count@0.1.0" {
		t.Errorf("got %+v, %v", revoked, err)
	}
}

// A kept list counts only while its signer is trusted; a damaged file is said.
func TestState(t *testing.T) {
	s := stocked(t)
	state := filepath.Join(t.TempDir(), "marketplace.json")
	same := func(c *index.Config) { c.State = state }
	_, err := s.client(same).Listings(t.Context(), spec.ListingQuery{})
	check(t, err)
	if info, err := os.Stat(state); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the state has the mode %v, %v", info.Mode(), err)
	}
	s.answer("*", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	if _, err := s.client(same).Revoked(t.Context()); err != nil {
		t.Errorf("the same key: %v", err)
	}
	changed := func(c *index.Config) { c.State, c.TrustedKeys = state, []string{signer(t, "other").Key().String()} }
	if _, err := s.client(changed).Revoked(t.Context()); !fault.Is(err, fault.NotFound) {
		t.Errorf("another key: %v", err)
	}
	text, err := os.ReadFile(state)
	check(t, err)
	for name, damaged := range map[string]string{
		"cut off": string(text[:len(text)/2]), "nothing": "", "another version": strings.Replace(string(text), `"version":1`, `"version":2`, 1),
	} {
		check(t, os.WriteFile(state, []byte(damaged), 0o600))
		_, err := s.client(same).Listings(t.Context(), spec.ListingQuery{})
		if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "is damaged: remove it") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	// A list that was tampered with on disk is not used.
	check(t, os.WriteFile(state, []byte(strings.Replace(string(text), "The echo of acme", "The ohce of acme", 1)), 0o600))
	if _, err := s.client(same).Revoked(t.Context()); !fault.Is(err, fault.NotFound) {
		t.Errorf("a changed page: %v", err)
	}
	// What cannot be kept is not taken: the sequence would be forgotten.
	s.answer("*", nil)
	nowhere := func(c *index.Config) { c.State = filepath.Join(state, "x", "marketplace.json") }
	if _, err := s.client(nowhere).Listings(t.Context(), spec.ListingQuery{}); err == nil {
		t.Error("a list that cannot be kept was taken")
	}
}

func TestNew(t *testing.T) {
	s := open(t)
	for _, url := range []string{"", "https://", "::", "https://a.example/?x=1", "https://a.example/#x"} {
		if _, err := index.New(index.Config{URL: url, Fetcher: s.fetcher(marketplace.Config{}), State: "x"}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %v", url, err)
		}
	}
	if _, err := index.New(index.Config{URL: "https://a.example/", TrustedKeys: []string{"x"}, State: "x"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a key that is none: %v", err)
	}
	c := s.client()
	c.Close()
	if _, err := c.Listings(t.Context(), spec.ListingQuery{}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("closed: %v", err)
	}
}

// TestUnsigned: without a trusted key an unsigned list needs allow_unsigned; with a key a
// wrong signature is refused even then.
func TestUnsigned(t *testing.T) {
	s := stocked(t)
	keys := []string{signer(t, "marketplace").Key().String()}
	list := func(allow bool, keys []string) (index.Page, error) {
		return s.client(func(c *index.Config) { c.AllowUnsigned, c.TrustedKeys = allow, keys }).Listings(t.Context(), spec.ListingQuery{})
	}
	if _, err := list(false, nil); !errors.Is(err, format.NoKey) || !strings.Contains(err.Error(), "marketplace.trusted_keys is empty") {
		t.Errorf("nobody trusted: %v", err)
	}
	if p, err := list(true, nil); err != nil || !p.Unsigned {
		t.Errorf("allowed, nobody trusted: %v", err)
	}
	if p, err := list(true, keys); err != nil || p.Unsigned {
		t.Errorf("allowed, but signed: %v", err)
	}
	if _, err := list(true, []string{signer(t, "other").Key().String()}); !errors.Is(err, format.WrongKey) {
		t.Errorf("allowed, wrongly signed: %v", err)
	}
	check(t, os.Remove(filepath.Join(s.dir, "root.json.minisig")))
	if p, err := list(true, keys); err != nil || !p.Unsigned {
		t.Errorf("allowed, not signed: %v", err)
	}
	if _, err := list(false, keys); !errors.Is(err, format.NoSignature) {
		t.Errorf("not signed: %v", err)
	}
	check(t, os.WriteFile(filepath.Join(s.dir, "root.json.minisig"), nil, 0o644))
	if _, err := list(true, keys); !errors.Is(err, format.EmptySignature) {
		t.Errorf("allowed, an empty signature: %v", err)
	}
}
