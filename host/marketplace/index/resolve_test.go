package index_test

import (
	"bytes"
	"context"
	"errors"
	"io"
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

func TestResolve(t *testing.T) {
	s := stocked(t)
	old := today.Add(-1000 * time.Hour)
	s.plugin("acme", "echo", "1.2.0", "", old) // yanked
	s.plugin("acme", "echo", "1.3.0", "", old) // revoked
	s.plugin("acme", "echo", "1.4.0", "", today.Add(-time.Hour))
	s.plugin("acme", "gone", "1.0.0", "", old) // yanked
	s.plugin("acme", "none", "1.0.0", "", old) // revoked by its digest
	check(t, s.tree.Mark("acme/echo@1.2.0", func(v *format.PageVersion) { v.Yanked = true }))
	check(t, s.tree.Mark("acme/gone@1.0.0", func(v *format.PageVersion) { v.Yanked = true }))
	none := s.plugin("acme", "none", "1.0.0", "", old)
	s.sign(format.Revocation{Release: "acme/echo@1.3.0", Reason: "loses events"}, format.Revocation{SHA256: none.Release.SHA256, Reason: "stolen"})
	c := s.client(func(c *index.Config) { c.MinimumReleaseAge = 24 * time.Hour })
	for _, tt := range []struct {
		name, constraint, want string
	}{
		{"acme/echo", "", "acme/echo@1.1.0"},
		{"acme/echo", "^1.0", "acme/echo@1.1.0"},
		{"acme/echo", "<1.1", "acme/echo@1.0.0"},
		{"acme/echo", "1.0", "acme/echo@1.0.0"},
		{"acme/echo", "1.0.0", "acme/echo@1.0.0"},
		{"acme/echo", "1.2.0", "acme/echo@1.2.0"},
		{"acme/echo", "2.0.0-rc.1", "acme/echo@2.0.0-rc.1"},
		{"acme/echo", ">=2.0.0-rc", "acme/echo@2.0.0-rc.1"},
		{"emca/echo", "", "emca/echo@9.0.0"},
		{"count", "", "acme/count@0.1.0"},
		{"beta", "", "acme/beta@0.1.0-beta.1"},
	} {
		r, err := c.Resolve(t.Context(), tt.name, tt.constraint)
		if err != nil || r.Reference() != tt.want || len(r.SHA256) != 64 || r.Size == 0 || r.Key == "" || r.Root == "" || r.Source == "" {
			t.Errorf("%s %q: got %+v, %v; want %s", tt.name, tt.constraint, r, err, tt.want)
		}
	}
	for _, tt := range []struct {
		name, constraint string
		code             fault.Code
		kind             format.Kind
		text             string
	}{
		{"echo", "", fault.Conflict, format.Ambiguous, "name one of acme/echo, emca/echo"},
		{"ohce", "", fault.NotFound, format.NoSuchPlugin, "has no plugin ohce"},
		{"acme/ohce", "", fault.NotFound, format.NoSuchPlugin, "has no plugin acme/ohce"},
		{"emca/count", "", fault.NotFound, format.NoSuchPlugin, "emca/count"},
		{"../x", "", fault.Invalid, format.BadName, "../x"},
		{"acme/../x", "", fault.Invalid, format.BadName, "acme/../x"},
		{"acme/", "", fault.Invalid, format.BadName, "publisher/name"},
		{"", "", fault.Invalid, format.BadName, "publisher/name"},
		{"count", "1.0.0/../../x", fault.Invalid, format.BadVersion, "1.0.0/../../x"},
		{"count", strings.Repeat("1", 300), fault.Invalid, format.BadVersion, "300 bytes"},
		{"acme/echo", "^3", fault.NotFound, format.NoVersion, "no version that fits ^3"},
		{"acme/echo", "7.0.0", fault.NotFound, format.NoVersion, "7.0.0"},
		{"acme/echo", "1.3.0", fault.Denied, format.Revoked, "loses events"},
		{"acme/echo", ">1.2", fault.Denied, format.TooNew, "minimum_release_age keeps it back until 2026-03-01T23:00:00Z"},
		{"acme/echo", "1.4.0", fault.Denied, format.TooNew, "1.4.0"},
		{"gone", "", fault.NotFound, format.NoVersion, "yanked"},
		{"none", "", fault.Denied, format.Revoked, "stolen"},
	} {
		_, err := c.Resolve(t.Context(), tt.name, tt.constraint)
		kind := format.Kind("")
		errors.As(err, &kind)
		if !fault.Is(err, tt.code) || kind != tt.kind || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s %q: got %s %q %v, want %s %q %q", tt.name, tt.constraint, fault.CodeOf(err), kind, err, tt.code, tt.kind, tt.text)
		}
	}
	s.wait(24 * time.Hour)
	if r, err := c.Resolve(t.Context(), "acme/echo", ""); err != nil || r.Version != "1.4.0" {
		t.Errorf("a day later: %+v, %v", r, err)
	}
	// A release that was signed a moment ago is found at once.
	s.plugin("acme", "count", "0.2.0", "", old)
	s.sign()
	if r, err := s.client().Resolve(t.Context(), "count", ""); err != nil || r.Version != "0.2.0" || len(r.Capabilities) != 0 {
		t.Errorf("just signed: %+v, %v", r, err)
	}
}

// An expired list lists, and installs nothing.
func TestExpired(t *testing.T) {
	s := stocked(t)
	s.wait(expires.Sub(today))
	c := s.client()
	p, err := c.Listings(t.Context(), spec.ListingQuery{})
	if err != nil || !p.Expired || p.Stale || len(p.Items) != 4 {
		t.Errorf("got %+v, %v", p, err)
	}
	if _, err := c.Resolve(t.Context(), "count", ""); !errors.Is(err, format.Expired) || !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "2026-03-31T00:00:00Z") {
		t.Errorf("got %v", err)
	}
}

// TestBadRelease: a release without the publisher's signature is refused although the
// marketplace has signed it.
func TestBadRelease(t *testing.T) {
	const path = "r/acme/count/0.1.0/release.json"
	// resign makes the marketplace sign whatever is there, as one without scruples.
	resign := func(t *testing.T, s *shop, without ...string) {
		files := map[string]format.File{}
		for _, top := range []string{"p", "r"} {
			check(t, filepath.WalkDir(filepath.Join(s.dir, top), func(full string, d os.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				text, err := os.ReadFile(full)
				name, _ := filepath.Rel(s.dir, full)
				files[filepath.ToSlash(name)] = format.FileOf(text)
				return err
			}))
		}
		for _, name := range without {
			delete(files, name)
		}
		root := format.Root{Marketplace: "acme-plugins", Sequence: 9, Expires: expires, Files: files}
		text, err := root.Encode()
		check(t, err)
		check(t, os.WriteFile(filepath.Join(s.dir, "root.json"), text, 0o644))
		check(t, os.WriteFile(filepath.Join(s.dir, "root.json.minisig"), signer(t, "marketplace").Sign(text, "x"), 0o644))
	}
	read := func(t *testing.T, s *shop, name string) string {
		text, err := os.ReadFile(filepath.Join(s.dir, name))
		check(t, err)
		return string(text)
	}
	write := func(t *testing.T, s *shop, name, text string) {
		check(t, os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644))
	}
	for _, tt := range []struct {
		name string
		do   func(*testing.T, *shop)
		kind format.Kind
		text string
	}{
		{"no signature", func(t *testing.T, s *shop) { check(t, os.Remove(filepath.Join(s.dir, path+".minisig"))); resign(t, s) }, format.NoSignature, "is not signed"},
		{"an empty signature", func(t *testing.T, s *shop) { write(t, s, path+".minisig", ""); resign(t, s) }, format.EmptySignature, "is empty"},
		{"a truncated signature", func(t *testing.T, s *shop) {
			write(t, s, path+".minisig", read(t, s, path+".minisig")[:100])
			resign(t, s)
		}, format.TruncatedSignature, "cut off"},
		{"the marketplace's signature", func(t *testing.T, s *shop) {
			write(t, s, path+".minisig", string(signer(t, "marketplace").Sign([]byte(read(t, s, path)), "x")))
			resign(t, s)
		}, format.WrongKey, "not trusted"},
		{"a release that was changed", func(t *testing.T, s *shop) {
			write(t, s, path, strings.Replace(read(t, s, path), "kv", "ab", 1))
			resign(t, s)
		}, format.BadSignature, "is not what was signed"},
		{"another release's", func(t *testing.T, s *shop) {
			write(t, s, path, read(t, s, "r/acme/echo/1.0.0/release.json"))
			write(t, s, path+".minisig", read(t, s, "r/acme/echo/1.0.0/release.json.minisig"))
			resign(t, s)
		}, format.Mismatch, "its name is not"},
		{"a page that hides a capability", func(t *testing.T, s *shop) {
			page := read(t, s, "p/acme/count.json")
			i, j := strings.Index(page, `"capabilities": [`)+len(`"capabilities": [`), strings.Index(page, `],`)
			write(t, s, "p/acme/count.json", page[:i]+page[j:])
			resign(t, s)
		}, format.Mismatch, "its capabilities is not"},
		{"a release that is not listed", func(t *testing.T, s *shop) { resign(t, s, path) }, format.Absent, "does not list it"},
		{"a release that is not there", func(t *testing.T, s *shop) { check(t, os.Remove(filepath.Join(s.dir, path))) }, format.Absent, "is not there"},
		{"a release of another digest", func(t *testing.T, s *shop) {
			write(t, s, path, strings.Replace(read(t, s, path), "acme", "emca", 1))
		}, format.WrongDigest, "was signed"},
		{"another key on one page", func(t *testing.T, s *shop) {
			page := read(t, s, "p/acme/count.json")
			write(t, s, "p/acme/count.json", strings.Replace(page, signer(t, "publisher").Key().String(), signer(t, "other").Key().String(), 1))
			resign(t, s)
		}, format.KeyConflict, "another key than the publisher's other pages"},
		{"no key on a page", func(t *testing.T, s *shop) {
			for _, name := range []string{"beta", "count", "echo"} {
				page := read(t, s, "p/acme/"+name+".json")
				write(t, s, "p/acme/"+name+".json", strings.Replace(page, `  "key": "`+signer(t, "publisher").Key().String()+"\",\n", "", 1))
			}
			resign(t, s)
		}, format.NoKey, "names no key"},
		{"another ABI", func(t *testing.T, s *shop) {
			page := read(t, s, "p/acme/count.json")
			write(t, s, "p/acme/count.json", strings.Replace(page, "berth_v1", "berth_v2", 1))
			resign(t, s)
		}, format.WrongABI, "berth_v2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := stocked(t)
			tt.do(t, s)
			_, err := s.client().Resolve(t.Context(), "count", "")
			if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want %q: %s", err, tt.kind, tt.text)
			}
		})
	}
}

// read opens a release's module and reads it to its end.
func read(ctx context.Context, c *index.Client, r index.Release, offset int64) ([]byte, error) {
	body, err := c.Open(ctx, r, offset)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(body)
	return content, errors.Join(err, body.Close())
}

func TestOpen(t *testing.T) {
	s := stocked(t)
	c := s.client()
	r, err := c.Resolve(t.Context(), "count", "")
	check(t, err)
	whole, err := os.ReadFile(filepath.Join(s.dir, r.URLs[0]))
	check(t, err)
	for _, offset := range []int64{0, 1, r.Size - 1} {
		got, err := read(t.Context(), c, r, offset)
		if err != nil || string(got) != string(whole[offset:]) {
			t.Errorf("from %d: %d bytes, %v", offset, len(got), err)
		}
	}
	// A mirror's second copy is taken when the first is not there.
	two := r
	two.URLs = []string{"blobs/none.wasm", r.URLs[0]}
	if got, err := read(t.Context(), c, two, 0); err != nil || string(got) != string(whole) {
		t.Errorf("the second URL: %v", err)
	}
	blob := "/" + r.URLs[0]
	send := func(b []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }
	}
	for _, tt := range []struct {
		name string
		h    http.HandlerFunc
		code fault.Code
		kind format.Kind
		text string
	}{
		{"truncated", send(whole[:50]), fault.Unavailable, "", "ends"},
		{"empty", send(nil), fault.Unavailable, "", "early"},
		{"longer", send(append(bytes.Clone(whole), 0)), fault.Denied, format.WrongSize, "goes on after its"},
		{"without end", func(w http.ResponseWriter, q *http.Request) {
			for q.Context().Err() == nil {
				if _, err := w.Write(whole); err != nil {
					return
				}
			}
		}, fault.Denied, format.WrongSize, "goes on"},
		{"not there", http.NotFound, fault.Denied, format.Absent, "is not there"},
		{"failing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, fault.Unavailable, "", "502"},
		{"gzip", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "gzip") }, fault.Unavailable, "", "gzip"},
		{"elsewhere", func(w http.ResponseWriter, q *http.Request) {
			http.Redirect(w, q, "https://10.0.0.1/x.wasm", http.StatusFound)
		}, fault.Unavailable, "", "10.0.0.1 is not an address of the public internet"},
	} {
		s.answer(blob, tt.h)
		got, err := read(t.Context(), c, r, 0)
		kind := format.Kind("")
		errors.As(err, &kind)
		if !fault.Is(err, tt.code) || kind != tt.kind || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %d bytes, %s %q %v; want %s %q %q", tt.name, len(got), fault.CodeOf(err), kind, err, tt.code, tt.kind, tt.text)
		}
	}
	// A server that stops in the middle is given up; so is a caller that has gone.
	s.answer(blob, func(w http.ResponseWriter, q *http.Request) {
		_, _ = w.Write(whole[:10])
		_ = http.NewResponseController(w).Flush()
		<-q.Context().Done()
	})
	slow := s.client(func(c *index.Config) { c.Fetcher = s.fetcher(marketplace.Config{Stall: 50 * time.Millisecond}) })
	if _, err := read(t.Context(), slow, r, 0); !fault.Is(err, fault.Timeout) || !strings.Contains(err.Error(), "sent nothing for 50ms") {
		t.Errorf("stalled: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := read(ctx, c, r, 0); !fault.Is(err, fault.Timeout) {
		t.Errorf("gone: %v", err)
	}
}

// FuzzState: a state file of any content is read, or refused as damaged, and never
// trusted without the signature.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"version":1,"seen":{"k shop":3},"list":{"url":"https://127.0.0.1:1/","root":"{}","signature":"x","pages":{"p/a/b.json":"{}"}}}`))
	f.Add([]byte(`{"version":1,"list":{"url":"https://127.0.0.1:1/","signature":null,"pages":null}}`))
	f.Add([]byte(`null`))
	fetcher := open(f).fetcher(marketplace.Config{})
	key := signer(f, "marketplace").Key().String()
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "state")
		check(t, os.WriteFile(path, text, 0o600))
		c, err := index.New(index.Config{
			URL: "https://127.0.0.1:1/", TrustedKeys: []string{key}, State: path, Fetcher: fetcher,
		})
		check(t, err)
		defer c.Close()
		if list, err := c.Revoked(t.Context()); err == nil || !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Unavailable) {
			t.Errorf("got %v, %v", list, err)
		}
	})
}

// A release whose signature is not there has no signer, though its publisher has a
// key and it is allowed.
func TestUnsignedRelease(t *testing.T) {
	s := stocked(t)
	c := s.client(func(c *index.Config) { c.AllowUnsigned = true })
	r, err := c.Resolve(t.Context(), "count", "")
	if err != nil || r.Key != signer(t, "publisher").Key().String() {
		t.Errorf("signed: %+v, %v", r, err)
	}
	s.answer("/r/acme/count/0.1.0/release.json.minisig", http.NotFound)
	if r, err = c.Resolve(t.Context(), "count", ""); err != nil || r.Key != "" {
		t.Errorf("not signed: %+v, %v", r, err)
	}
}

// TestUnansweredRefreshUsesKeptList, and a refused response does not use it.
func TestUnansweredRefreshUsesKeptList(t *testing.T) {
	s := stocked(t)
	c := s.client()
	if _, err := c.Resolve(t.Context(), "count", ""); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		will   bool
	}{
		"down":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, true},
		"gone":    {http.NotFound, true},
		"encoded": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "gzip") }, false},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://10.0.0.1/", http.StatusFound)
		}, false},
		"too large": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, format.MaxRoot+1)) }, false},
	} {
		s.answer("/root.json", tt.answer)
		if _, err := c.Resolve(t.Context(), "count", ""); (err == nil) != tt.will {
			t.Errorf("%s: %v", name, err)
		}
		s.answer("/root.json", nil)
	}
}
