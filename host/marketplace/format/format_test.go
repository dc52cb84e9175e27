package format_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace/format"
)

func TestMatcher(t *testing.T) {
	for _, tt := range []struct {
		constraint, version string
		want                bool
	}{
		{"", "1.2.3", true}, {"", "1.2.3-rc.1", false}, {"*", "0.0.1", true},
		{"1.2.3", "1.2.3", true}, {"1.2.3", "1.2.4", false}, {"1.2", "1.2.9", true}, {"1.x", "1.9.0", true}, {"1.x", "2.0.0", false},
		{"^1.2", "1.9.0", true}, {"^1.2", "1.1.0", false}, {"^1.2", "2.0.0", false}, {"^0.2.1", "0.3.0", false}, {"~1.2.3", "1.3.0", false},
		{">=1.0, <2", "1.5.0", true}, {">=1.0, <2", "2.0.0", false}, {">=1.0.0-0", "1.0.0-rc.1", true}, {"<1 || >2", "3.0.0", true},
		{"", "not a version", false},
	} {
		fits, err := format.Matcher(tt.constraint)
		if err != nil || fits(tt.version) != tt.want {
			t.Errorf("%q fits %q: %v, %v", tt.version, tt.constraint, !tt.want, err)
		}
	}
	for _, wrong := range []string{"latest", "1.0.0/../../x", ">", "^", strings.Repeat(">1,", 200)} {
		if _, err := format.Matcher(wrong); !errors.Is(err, format.BadVersion) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	for _, tt := range []struct {
		a, b string
		want int
	}{{"1.0.0", "1.0.1", -1}, {"1.10.0", "1.9.0", 1}, {"1.0.0-rc.1", "1.0.0", -1}, {"1.0.0+a", "1.0.0+b", 0}, {"", "1.0.0", -1}, {"1.0.0", "x", 1}, {"x", "y", 0}} {
		if got := format.Compare(tt.a, tt.b); got != tt.want {
			t.Errorf("Compare(%q, %q) = %d", tt.a, tt.b, got)
		}
	}
}

func TestKeys(t *testing.T) {
	s := signer(t, "marketplace")
	for _, text := range []string{s.Key().String(), string(s.Key().File()), "  " + s.Key().String() + "\n"} {
		if k, err := format.ParseKey(text); err != nil || k.String() != s.Key().String() || len(k.ID()) != 16 {
			t.Errorf("%q: %v", text, err)
		}
	}
	key := s.Key().String()
	for _, text := range []string{"", "RW", key[:50], key + "A", key + "\n" + key, "x\n" + key, strings.Repeat("A", 56), strings.Repeat("x", 2000)} {
		if _, err := format.ParseKey(text); !errors.Is(err, format.BadKey) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A secret key survives its file.
func TestSecretKeys(t *testing.T) {
	s, err := format.NewSigner()
	check(t, err)
	plain, err := s.Encode("")
	check(t, err)
	if got, err := format.ParseSigner(plain, nil); err != nil || got.Key().String() != s.Key().String() {
		t.Errorf("got %v", err)
	}
	// With a passphrase by the costs of minisign's own, which are high.
	sealed, err := s.Encode("open sesame")
	check(t, err)
	_, line, _ := strings.Cut(string(sealed), "\n")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
	check(t, err)
	if string(raw[:6]) != "EdScB2" || binary.LittleEndian.Uint64(raw[38:]) < 1<<25 || binary.LittleEndian.Uint64(raw[46:]) < 1<<30 {
		t.Errorf("the key is sealed with %q", raw[:54])
	}
	open, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.SplitN(string(plain), "\n", 2)[1]))
	if bytes.Contains(raw, open[62:94]) {
		t.Error("the sealed file shows the key")
	}
	for _, text := range []string{"", "x", string(s.Key().File()), strings.Repeat("A", 5000)} {
		if _, err := format.ParseSigner([]byte(text), nil); !errors.Is(err, format.BadKey) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

// sealed.key is other.key with the passphrase "open sesame", at a low cost.
func TestPassphrase(t *testing.T) {
	sealed, err := os.ReadFile(filepath.Join(vectorsDir, "keys", "sealed.key"))
	check(t, err)
	say := func(p string) func() (string, error) { return func() (string, error) { return p, nil } }
	if got, err := format.ParseSigner(sealed, say("open sesame")); err != nil || got.Key().String() != signer(t, "other").Key().String() {
		t.Errorf("the passphrase: %v", err)
	}
	if _, err := format.ParseSigner(sealed, say("open barley")); !errors.Is(err, format.BadKey) || !strings.Contains(err.Error(), "does not open") {
		t.Errorf("another passphrase: %v", err)
	}
	if _, err := format.ParseSigner(sealed, func() (string, error) { return "", io.EOF }); !errors.Is(err, io.EOF) {
		t.Errorf("nobody says it: %v", err)
	}
}

// TestEncodings: every encoded file is parsed to the same values.
func TestEncodings(t *testing.T) {
	name := rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,20}`)
	version := rapid.Custom(func(t *rapid.T) string {
		return rapid.StringMatching(`(0|[1-9][0-9]?)\.(0|[1-9][0-9]?)\.(0|[1-9][0-9]?)(-[a-z]{1,3})?(\+[a-z0-9]{1,3})?`).Draw(t, "version")
	})
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "time"), 0).UTC()
	})
	text := rapid.StringMatching(`[a-zA-Z<>&"'\\äß ]{1,20}`)
	sum := rapid.StringMatching(`[0-9a-f]{64}`)
	capabilities := rapid.SampledFrom([][]abi.Capability{nil, {{Name: "kv", Reason: "<&> \"", Required: true}}, {{Name: "http", Hosts: []string{"a.example"}}, {Name: "emit", EventTypes: []string{"a_*"}}}})
	rapid.Check(t, func(t *rapid.T) {
		r := format.Release{
			Format: format.ReleaseVersion, Publisher: name.Draw(t, "publisher"), Name: name.Draw(t, "name"), Version: version.Draw(t, "version"),
			SHA256: sum.Draw(t, "sha256"), Size: rapid.Int64Range(8, format.MaxBlob).Draw(t, "size"), ABI: format.ABI,
			Capabilities: capabilities.Draw(t, "capabilities"), Released: moment.Draw(t, "released"),
		}
		out, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := format.ParseRelease(out)
		if err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		page := format.Page{Publisher: r.Publisher, Name: r.Name, Description: text.Draw(t, "description"), License: text.Draw(t, "license")}
		v := format.PageVersion{
			Version: r.Version, ABI: r.ABI, SHA256: r.SHA256, Size: r.Size, Capabilities: r.Capabilities, URLs: []string{format.BlobPath(r.SHA256)},
			Yanked: rapid.Bool().Draw(t, "yanked"), Deprecated: rapid.OneOf(text, rapid.Just("")).Draw(t, "deprecated"), Released: r.Released,
		}
		page.Versions = []format.PageVersion{v}
		if err := again.Fits(page, v); err != nil {
			t.Fatalf("the release does not fit itself: %v", err)
		}
		out, err = page.Encode()
		if err != nil {
			t.Fatal(err)
		}
		read, err := format.ParsePage(page.Publisher, page.Name, out)
		if err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		if len(page.Versions[0].Capabilities) == 0 {
			page.Versions[0].Capabilities = read.Versions[0].Capabilities
		}
		if !reflect.DeepEqual(read, page) {
			t.Fatalf("got  %+v\nwant %+v", read, page)
		}
		if err := again.Fits(read, read.Versions[0]); err != nil {
			t.Fatal(err)
		}
		changed := read.Versions[0]
		switch rapid.IntRange(0, 5).Draw(t, "changed") {
		case 0:
			changed.Size++
		case 1:
			changed.SHA256 = strings.Repeat("0", 63) + "x"
		case 2:
			changed.Released = changed.Released.Add(time.Second)
		case 3:
			changed.Capabilities = append([]abi.Capability{{Name: "secret", Names: []string{"x"}}}, changed.Capabilities...)
		case 4:
			changed.ABI = "berth_v2"
		case 5:
			changed.Version += "x"
		}
		if err := again.Fits(read, changed); !errors.Is(err, format.Mismatch) {
			t.Fatalf("a changed page fits: %v", err)
		}
	})
}

func vectorTexts(t testing.TB, file string) [][]byte {
	text, err := os.ReadFile(filepath.Join(vectorsDir, "vectors.json"))
	check(t, err)
	var all vectors
	check(t, json.Unmarshal(text, &all))
	var list [][]byte
	for _, v := range all.Cases {
		if v.File == file {
			list = append(list, []byte(v.Text))
		}
	}
	return list
}

// kinded fails when an error is not a refusal that names its kind.
func kinded(t *testing.T, err error) {
	t.Helper()
	var kind format.Kind
	if !errors.As(err, &kind) || !fault.Is(err, fault.Denied) || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Errorf("%#v is no refusal", err)
	}
}

// FuzzRoot: an accepted root is within its bounds, and is accepted again after it is
// encoded.
func FuzzRoot(f *testing.F) {
	for _, text := range vectorTexts(f, "root") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := format.ParseRoot(text)
		if err != nil {
			kinded(t, err)
			return
		}
		for path, file := range r.Files {
			if !format.ValidPath(path) || file.Size < 0 || file.Size > format.MaxBlob || len(file.SHA256) != 64 {
				t.Errorf("%q is listed: %+v", path, file)
			}
		}
		out, err := r.Encode()
		check(t, err)
		again, err := format.ParseRoot(out)
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("got %+v, %v\nwant %+v", again, err, r)
		}
	})
}

// FuzzPage: likewise.
func FuzzPage(f *testing.F) {
	for _, text := range vectorTexts(f, "page") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := format.ParsePage("acme", "echo", text)
		if err != nil {
			kinded(t, err)
			return
		}
		for _, v := range p.Versions {
			for _, path := range append(v.URLs, format.ReleasePath(p.Publisher, p.Name, v.Version), format.BlobPath(v.SHA256)) {
				if !format.ValidPath(path) {
					t.Errorf("leads to %q", path)
				}
			}
		}
		out, err := p.Encode()
		check(t, err)
		again, err := format.ParsePage("acme", "echo", out)
		if err != nil || len(again.Versions) != len(p.Versions) || again.Description != p.Description {
			t.Errorf("got %+v, %v\nwant %+v", again, err, p)
		}
	})
}

// FuzzRelease: likewise.
func FuzzRelease(f *testing.F) {
	for _, text := range vectorTexts(f, "release") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := format.ParseRelease(text)
		if err != nil {
			kinded(t, err)
			return
		}
		if !format.ValidPath(format.ReleasePath(r.Publisher, r.Name, r.Version)) {
			t.Errorf("%s is no path", r.Reference())
		}
		out, err := r.Encode()
		check(t, err)
		if again, err := format.ParseRelease(out); err != nil || !again.Released.Equal(r.Released) || again.Reference() != r.Reference() {
			t.Errorf("got %+v, %v\nwant %+v", again, err, r)
		}
	})
}

// FuzzVerify: nothing but the exact signature of the exact content holds.
func FuzzVerify(f *testing.F) {
	by := signer(f, "marketplace")
	content := []byte("content")
	good := by.Sign(content, "comment")
	f.Add(content, good)
	f.Add([]byte{}, []byte{})
	f.Add(content, []byte("untrusted comment: x\n"))
	keys := []format.Key{by.Key()}
	secondLine := strings.SplitN(string(good), "\n", 3)[1]
	f.Fuzz(func(t *testing.T, text, sig []byte) {
		_, err := format.Verify("x", text, sig, keys)
		if err != nil {
			kinded(t, err)
			return
		}
		lines := strings.SplitN(string(sig), "\n", 3)
		if string(text) != string(content) || len(lines) != 3 || lines[1] != secondLine {
			t.Errorf("%q holds for %q", sig, text)
		}
	})
}
