package publish_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace/format"
	"github.com/berth-host/berth/host/marketplace/publish"
)

var update = flag.Bool("update", false, "write the valid tree of the test vectors anew")

const vectorsDir = "../../../abi/testdata/marketplace"

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// signer is one of the keys that the vectors use.
func signer(t testing.TB, name string) format.Signer {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(vectorsDir, "keys", name+".key"))
	check(t, err)
	s, err := format.ParseSigner(text, nil)
	check(t, err)
	return s
}

var (
	header   = []byte("\x00asm\x01\x00\x00\x00")
	released = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	expires  = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

func manifest(name, version, more string) []byte {
	return fmt.Appendf(nil, `{"name":%q,"version":%q,"description":"Does %s %s"%s}`, name, version, name, version, more)
}

func bundle(t testing.TB, name, version, more string) publish.Bundle {
	t.Helper()
	b, err := publish.Make(publish.Draft{Publisher: "acme", Module: header, Manifest: manifest(name, version, more), Released: released}, signer(t, "publisher"))
	check(t, err)
	return b
}

func open(t testing.TB, dir string) *publish.Tree {
	t.Helper()
	tree, err := publish.Open(dir, true)
	check(t, err)
	t.Cleanup(func() { check(t, tree.Close()) })
	return tree
}

const asksForKV = `,"capabilities":[{"name":"kv","reason":"keeps the count","required":true}]`

// fill makes a tree of two plugins, one of two versions, and signs it.
func fill(t testing.TB, dir string) *publish.Tree {
	t.Helper()
	tree := open(t, dir)
	key := signer(t, "publisher").Key()
	for _, b := range []publish.Bundle{bundle(t, "echo", "1.0.0", ""), bundle(t, "echo", "1.1.0", asksForKV), bundle(t, "count", "0.1.0", asksForKV)} {
		changed, err := tree.Add(b, &key)
		check(t, err)
		if !changed {
			t.Errorf("%s was there already", b.Release.Reference())
		}
	}
	_, err := tree.Sign(t.Context(), publish.Signing{Name: "acme-plugins", Expires: expires}, signer(t, "marketplace"))
	check(t, err)
	return tree
}

func verify(t testing.TB, tree *publish.Tree) publish.Report {
	t.Helper()
	r, err := publish.Verify(t.Context(), publish.DirSource{Tree: tree}, []format.Key{signer(t, "marketplace").Key()}, released)
	check(t, err)
	return r
}

// content is every file of a directory.
func content(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	check(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		all[path] = string(text)
		return err
	}))
	return all
}

// TestValidTree keeps the valid tree of the vectors what the tools make.
func TestValidTree(t *testing.T) {
	want := filepath.Join(vectorsDir, "valid")
	if *update {
		check(t, os.RemoveAll(want))
		fill(t, want)
	}
	dir := t.TempDir()
	r := verify(t, fill(t, dir))
	if len(r.Problems) > 0 || r.Plugins != 2 || r.Releases != 3 || r.Root.Sequence != 1 || r.Signer != signer(t, "marketplace").Key().ID() {
		t.Errorf("got %+v", r)
	}
	got, kept := content(t, dir), content(t, want)
	for path, text := range kept {
		if got[path] != text {
			t.Errorf("%s is\n%s\nnot\n%s", path, got[path], text)
		}
	}
	if len(got) != len(kept) {
		t.Errorf("%d files, not %d", len(got), len(kept))
	}
}

func TestMake(t *testing.T) {
	by := signer(t, "publisher")
	section := func(text string) []byte {
		b, err := publish.Make(publish.Draft{Publisher: "acme", Module: header, Manifest: []byte(text), Released: released}, by)
		check(t, err)
		return b.Module
	}
	inside := section(`{"name":"echo","version":"1.0.0"}`)
	for _, tt := range []struct {
		name  string
		draft publish.Draft
		want  string // the release, or the error
	}{
		{"a manifest beside", publish.Draft{Publisher: "acme", Module: header, Manifest: manifest("echo", "1.0.0", "")}, "acme/echo@1.0.0"},
		{"one inside", publish.Draft{Publisher: "acme", Module: inside}, "acme/echo@1.0.0"},
		{"one inside, said again", publish.Draft{Publisher: "acme", Module: inside, Name: "echo", Version: "1.0.0"}, "acme/echo@1.0.0"},
		{"none", publish.Draft{Publisher: "acme", Module: header, Name: "echo", Version: "1.0.0"}, "acme/echo@1.0.0"},
		{"one without a version", publish.Draft{Publisher: "acme", Module: header, Manifest: []byte(`{"name":"echo"}`), Version: "2.0.0"}, "acme/echo@2.0.0"},
		{"no name", publish.Draft{Publisher: "acme", Module: header, Version: "1.0.0"}, "has no name"},
		{"no version", publish.Draft{Publisher: "acme", Module: header, Name: "echo"}, "has no version"},
		{"two manifests", publish.Draft{Publisher: "acme", Module: inside, Manifest: manifest("echo", "1.0.0", "")}, "another one is given"},
		{"another version than inside", publish.Draft{Publisher: "acme", Module: inside, Version: "2.0.0"}, `says version "1.0.0", not "2.0.0"`},
		{"another name than beside", publish.Draft{Publisher: "acme", Module: header, Manifest: manifest("echo", "1.0.0", ""), Name: "x"}, `says name "echo", not "x"`},
		{"a name that is a path", publish.Draft{Publisher: "acme", Module: header, Name: "../x", Version: "1.0.0"}, "name"},
		{"a version that is a path", publish.Draft{Publisher: "acme", Module: header, Name: "x", Version: "1.0.0/../../x"}, "semantic version"},
		{"a publisher that is a path", publish.Draft{Publisher: "../x", Module: inside}, "publisher"},
		{"no module", publish.Draft{Publisher: "acme", Module: []byte("<html>"), Name: "x", Version: "1.0.0"}, "not a WebAssembly module"},
		{"a component", publish.Draft{Publisher: "acme", Module: []byte("\x00asm\x0d\x00\x01\x00"), Name: "x", Version: "1.0.0"}, "component"},
		{"a broken manifest", publish.Draft{Publisher: "acme", Module: header, Manifest: []byte(`{"nome":"x"}`)}, "nome: unknown key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.draft.Released = released
			b, err := publish.Make(tt.draft, by)
			if err != nil {
				if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				return
			}
			if b.Release.Reference() != tt.want {
				t.Errorf("got %s", b.Release.Reference())
			}
			if _, m, err := b.Check(by.Key()); err != nil || m.Version != b.Release.Version {
				t.Errorf("the bundle does not hold: %+v, %v", m, err)
			}
			if section, ok, err := abi.FindSection(b.Module, abi.ManifestSection); !ok || err != nil || len(section) == 0 {
				t.Errorf("the module has no manifest inside: %v", err)
			}
		})
	}
}

func TestBundleFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "echo")
	if _, err := publish.ReadBundle(dir); !fault.Is(err, fault.NotFound) {
		t.Errorf("without a directory: %v", err)
	}
	b := bundle(t, "echo", "1.0.0", asksForKV)
	for range 2 {
		check(t, b.Write(dir))
	}
	got, err := publish.ReadBundle(dir)
	if err != nil || !bytes.Equal(got.Text, b.Text) || !bytes.Equal(got.Module, b.Module) || !bytes.Equal(got.Signature, b.Signature) || got.Release.Reference() != "acme/echo@1.0.0" {
		t.Errorf("got %+v, %v", got.Release, err)
	}
	check(t, os.Remove(filepath.Join(dir, "module.wasm")))
	check(t, os.Symlink("/etc/passwd", filepath.Join(dir, "module.wasm")))
	if _, err := publish.ReadBundle(dir); err == nil {
		t.Error("a link out of the directory was followed")
	}
}

func TestAdd(t *testing.T) {
	dir := t.TempDir()
	tree := fill(t, dir)
	key, other := signer(t, "publisher").Key(), signer(t, "other").Key()
	before := content(t, dir)
	// The same again changes nothing.
	if changed, err := tree.Add(bundle(t, "echo", "1.0.0", ""), nil); changed || err != nil {
		t.Errorf("again: %v, %v", changed, err)
	}
	forged := bundle(t, "echo", "2.0.0", "")
	forged.Signature = signer(t, "other").Sign(forged.Text, "x")
	changed := bundle(t, "echo", "2.0.0", "")
	changed.Module = append(slices.Clone(changed.Module), 0)
	otherPublisher, err := publish.Make(publish.Draft{Publisher: "emca", Module: header, Name: "echo", Version: "1.0.0", Released: released}, signer(t, "other"))
	check(t, err)
	unsigned := bundle(t, "echo", "2.0.0", "")
	unsigned.Signature = nil
	for _, tt := range []struct {
		name string
		b    publish.Bundle
		key  *format.Key
		code fault.Code
		text string
	}{
		{"other content", bundle(t, "echo", "1.0.0", asksForKV), &key, fault.Conflict, "never changes"},
		{"the same precedence", bundle(t, "echo", "1.0.0+again", ""), &key, fault.Conflict, "never changes"},
		{"another key", bundle(t, "echo", "2.0.0", ""), &other, fault.Conflict, "a publisher has one key"},
		{"a new publisher without a key", otherPublisher, nil, fault.Invalid, "give the publisher's public key"},
		{"a new publisher with another's key", otherPublisher, &key, fault.Denied, "not trusted"},
		{"another's signature", forged, nil, fault.Denied, "not trusted"},
		{"no signature", unsigned, nil, fault.Denied, "not signed"},
		{"another module", changed, nil, fault.Denied, "bytes"},
	} {
		if _, err := tree.Add(tt.b, tt.key); !fault.Is(err, tt.code) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %v, want %s: %s", tt.name, err, tt.code, tt.text)
		}
		if after := content(t, dir); !mapsEqual(before, after) {
			t.Fatalf("%s has changed the tree", tt.name)
		}
	}
	otherKey := signer(t, "other").Key()
	if ok, err := tree.Add(otherPublisher, &otherKey); !ok || err != nil {
		t.Errorf("a new publisher: %v", err)
	}
}

func mapsEqual(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// TestVerify damages a good tree in one way at a time.
func TestVerify(t *testing.T) {
	at := func(dir, path string) string { return filepath.Join(dir, filepath.FromSlash(path)) }
	edit := func(path, old, new string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			text, err := os.ReadFile(at(dir, path))
			check(t, err)
			if !strings.Contains(string(text), old) {
				t.Fatalf("%s has no %q", path, old)
			}
			check(t, os.WriteFile(at(dir, path), []byte(strings.Replace(string(text), old, new, 1)), 0o644))
		}
	}
	remove := func(path string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { check(t, os.Remove(at(dir, path))) }
	}
	blob := format.BlobPath(bundle(t, "echo", "1.0.0", "").Release.SHA256)
	const release = "r/acme/echo/1.0.0/release.json"
	for _, tt := range []struct {
		name   string
		damage func(*testing.T, string)
		want   []format.Kind
	}{
		{"no root", remove("root.json"), []format.Kind{format.Absent}},
		{"no signature", remove("root.json.minisig"), []format.Kind{format.NoSignature}},
		{"an empty signature", func(t *testing.T, dir string) { check(t, os.Truncate(at(dir, "root.json.minisig"), 0)) }, []format.Kind{format.EmptySignature}},
		{"a changed root", edit("root.json", `"sequence": 1`, `"sequence": 2`), []format.Kind{format.BadSignature}},
		{"a root that is none", edit("root.json", `{`, `[`), []format.Kind{format.BadSignature, format.Malformed}},
		{"another key", func(t *testing.T, dir string) {
			text, err := os.ReadFile(at(dir, "root.json"))
			check(t, err)
			check(t, os.WriteFile(at(dir, "root.json.minisig"), signer(t, "other").Sign(text, "x"), 0o644))
		}, []format.Kind{format.WrongKey}},
		{"no page", remove("p/acme/echo.json"), []format.Kind{format.Absent}},
		{"a changed page", edit("p/acme/echo.json", "Does", "Doez"), []format.Kind{format.WrongDigest}},
		{"a longer page", edit("p/acme/echo.json", "Does", "Does not"), []format.Kind{format.WrongSize}},
		{"a huge page", edit("p/acme/echo.json", "Does", strings.Repeat("x", format.MaxPage)), []format.Kind{format.TooLarge}},
		{"no release", remove(release), []format.Kind{format.Absent}},
		{"a changed release", edit(release, "acme", "emca"), []format.Kind{format.WrongDigest}},
		{"no signature of a release", remove(release + ".minisig"), []format.Kind{format.Absent}},
		{"no module", remove(blob), []format.Kind{format.Absent}},
		{"a cut module", func(t *testing.T, dir string) { check(t, os.Truncate(at(dir, blob), 9)) }, []format.Kind{format.WrongSize}},
		{"a changed module", edit(blob, "Does", "Doez"), []format.Kind{format.WrongDigest}},
		{"one file more", func(t *testing.T, dir string) { check(t, os.WriteFile(at(dir, "blobs/sha256/x.wasm"), header, 0o644)) }, []format.Kind{format.Unlisted}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tree := fill(t, dir)
			tt.damage(t, dir)
			var got []format.Kind
			for _, p := range verify(t, tree).Problems {
				got = append(got, p.Kind)
				if p.Reason == "" {
					t.Errorf("%s has no reason", p.Kind)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			// What does not hold is not signed either, unless it is the root itself.
			if !strings.Contains(tt.name, "root") && !strings.Contains(tt.name, "signature") && tt.name != "another key" && tt.name != "one file more" && !strings.HasSuffix(tt.name, "page") {
				before := content(t, dir)
				_, err := tree.Sign(t.Context(), publish.Signing{Expires: expires}, signer(t, "marketplace"))
				var problems publish.Problems
				if !errors.As(err, &problems) || !mapsEqual(before, content(t, dir)) {
					t.Errorf("signed: %v", err)
				}
			}
		})
	}
}

func TestSign(t *testing.T) {
	dir := t.TempDir()
	tree := fill(t, dir)
	by := signer(t, "marketplace")
	sign := func(s publish.Signing) format.Root {
		t.Helper()
		s.Expires = expires
		root, err := tree.Sign(t.Context(), s, by)
		check(t, err)
		if r := verify(t, tree); len(r.Problems) > 0 {
			t.Errorf("the tree does not hold: %v", r.Problems)
		}
		return root
	}
	check(t, tree.Mark("acme/echo@1.1.0", func(v *format.PageVersion) { v.Yanked, v.Deprecated = true, "1.2 is there" }))
	one := format.Revocation{Release: "acme/echo@1.0.0", Reason: "loses events"}
	two := format.Revocation{SHA256: strings.Repeat("ab", 32), Reason: "stolen"}
	if root := sign(publish.Signing{Revoke: []format.Revocation{one}}); root.Sequence != 2 || len(root.Revoked) != 1 {
		t.Errorf("got %+v", root)
	}
	if root := sign(publish.Signing{Revoke: []format.Revocation{two, one}}); root.Sequence != 3 || len(root.Revoked) != 2 {
		t.Errorf("got %+v", root.Revoked)
	}
	if root := sign(publish.Signing{Restore: []string{one.Release}}); len(root.Revoked) != 1 || root.Revoked[0] != two {
		t.Errorf("got %+v", root.Revoked)
	}
	before := content(t, dir)
	for _, s := range []publish.Signing{
		{Name: "another", Expires: expires},
		{Restore: []string{one.Release}, Expires: expires},
		{Revoke: []format.Revocation{{Release: "../x", Reason: "x"}}, Expires: expires},
		{Revoke: []format.Revocation{{Release: "acme/echo@1.0.0"}}, Expires: expires},
	} {
		if _, err := tree.Sign(t.Context(), s, by); err == nil {
			t.Errorf("%+v was signed", s)
		}
	}
	if err := tree.Mark("acme/echo@9.0.0", func(*format.PageVersion) {}); !fault.Is(err, fault.NotFound) {
		t.Errorf("mark what is not there: %v", err)
	}
	if err := tree.Mark("acme/../x@1.0.0", func(*format.PageVersion) {}); !fault.Is(err, fault.Invalid) {
		t.Errorf("mark a path: %v", err)
	}
	if !mapsEqual(before, content(t, dir)) {
		t.Error("what was refused has changed the tree")
	}
}

// A link in a tree is neither followed nor signed.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	tree := fill(t, dir)
	check(t, os.Symlink("/etc", filepath.Join(dir, "p", "etc")))
	if _, err := tree.Sign(t.Context(), publish.Signing{Expires: expires}, signer(t, "marketplace")); err == nil || !strings.Contains(err.Error(), "p/etc") {
		t.Errorf("got %v", err)
	}
	w := httptest.NewRecorder()
	tree.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/p/etc/passwd", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("got %d: %s", w.Code, w.Body)
	}
}

func TestHandler(t *testing.T) {
	dir := t.TempDir()
	tree := fill(t, dir)
	check(t, os.WriteFile(filepath.Join(dir, "acme.key"), []byte("secret"), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "p", ".hidden"), []byte("secret"), 0o600))
	for path, want := range map[string]int{
		"/root.json": 200, "/root.json.minisig": 200, "/p/acme/echo.json": 200, "/r/acme/echo/1.0.0/release.json": 200,
		"/": 404, "/acme.key": 404, "/p": 404, "/p/": 404, "/p/acme": 404, "/p/.hidden": 404, "/p/../acme.key": 404, "/p/..%2facme.key": 404, "/none": 404,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path = strings.ReplaceAll(path, "%2f", "/")
		w := httptest.NewRecorder()
		tree.Handler().ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: got %d, want %d", path, w.Code, want)
		}
	}
	r := httptest.NewRequest("GET", "/root.json", nil)
	r.Header.Set("Range", "bytes=5-9")
	w := httptest.NewRecorder()
	tree.Handler().ServeHTTP(w, r)
	if want := content(t, dir)["root.json"][5:10]; w.Code != http.StatusPartialContent || w.Body.String() != want {
		t.Errorf("got %d %q, want %q", w.Code, w.Body, want)
	}
	w = httptest.NewRecorder()
	tree.Handler().ServeHTTP(w, httptest.NewRequest("PUT", "/root.json", strings.NewReader("x")))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("a PUT: %d", w.Code)
	}
}
