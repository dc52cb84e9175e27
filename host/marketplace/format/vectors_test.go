package format_test

import (
	"bytes"
	"crypto"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/berth-host/berth/host/marketplace/format"
)

var update = flag.Bool("update", false, "write the test vectors anew")

const vectorsDir = "../../../abi/testdata/marketplace"

// vector is one case of vectors.json: a file, with its signature and the keys it
// is checked with if there are any, and the kind of refusal, or "".
type vector struct {
	Name      string   `json:"name"`
	File      string   `json:"file"` // root, page, release or path
	Path      string   `json:"path,omitempty"`
	Text      string   `json:"text,omitempty"`
	Signature *string  `json:"signature,omitempty"`
	Keys      []string `json:"keys,omitempty"`
	Want      string   `json:"want"`
}

type vectors struct {
	Note  string            `json:"note"`
	Keys  map[string]string `json:"keys"`
	Cases []vector          `json:"cases"`
}

// signer reads one of the secret keys of the vectors, which everybody knows.
func signer(t testing.TB, name string) format.Signer {
	t.Helper()
	path := filepath.Join(vectorsDir, "keys", name+".key")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && *update {
		s, err := format.NewSigner()
		check(t, err)
		text, err = s.Encode("")
		check(t, err)
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(t, os.WriteFile(path, text, 0o644))
		check(t, os.WriteFile(strings.TrimSuffix(path, ".key")+".pub", s.Key().File(), 0o644))
	} else {
		check(t, err)
	}
	s, err := format.ParseSigner(text, nil)
	check(t, err)
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// judge does with a vector what a reader does.
func judge(v vector, keys map[string]string) error {
	if v.File == "path" {
		if !format.ValidPath(v.Path) {
			return format.BadPath
		}
		return nil
	}
	if v.Keys != nil {
		var trusted []format.Key
		for _, name := range v.Keys {
			if name == "" {
				continue
			}
			k, err := format.ParseKey(keys[name])
			if err != nil {
				return err
			}
			trusted = append(trusted, k)
		}
		var sig []byte
		if v.Signature != nil {
			sig = append([]byte{}, *v.Signature...)
		}
		if _, err := format.Verify(v.Path, []byte(v.Text), sig, trusted); err != nil {
			return err
		}
	}
	var err error
	switch v.File {
	case "root":
		_, err = format.ParseRoot([]byte(v.Text))
	case "page":
		publisher, name, ok := format.ParsePagePath(v.Path)
		if !ok {
			return format.BadName
		}
		_, err = format.ParsePage(publisher, name, []byte(v.Text))
	case "release":
		_, err = format.ParseRelease([]byte(v.Text))
	default:
		err = errors.New("no such file")
	}
	return err
}

// TestVectors runs abi/testdata/marketplace/vectors.json: what another reader of
// the format must accept and refuse. With -update it writes the file.
func TestVectors(t *testing.T) {
	path := filepath.Join(vectorsDir, "vectors.json")
	if *update {
		text, err := encodeVectors(makeVectors(t))
		check(t, err)
		check(t, os.WriteFile(path, text, 0o644))
	}
	text, err := os.ReadFile(path)
	check(t, err)
	var all vectors
	check(t, json.Unmarshal(text, &all))
	seen := map[string]int{}
	for _, v := range all.Cases {
		t.Run(v.Name, func(t *testing.T) {
			err := judge(v, all.Keys)
			var kind format.Kind
			if errors.As(err, &kind) != (err != nil) || string(kind) != v.Want {
				t.Errorf("got %q (%v), want %q", kind, err, v.Want)
			}
		})
		seen[v.Want]++
	}
	for _, kind := range []format.Kind{
		"", format.TooLarge, format.Malformed, format.UnknownFormat, format.BadPath, format.BadName, format.BadVersion, format.BadKey,
		format.NoSignature, format.EmptySignature, format.TruncatedSignature, format.MalformedSignature, format.TrailingBytes,
		format.NotPrehashed, format.WrongKey, format.BadSignature, format.NoKey, format.Mismatch,
	} {
		if seen[string(kind)] == 0 {
			t.Errorf("no vector is of the kind %q", kind)
		}
	}
}

func encodeVectors(v vectors) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.Bytes(), err
}

const digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// The texts that the vectors are made of.
const (
	goodRoot = `{"format":"berth-marketplace-v1","marketplace":"acme-plugins","sequence":7,"expires":"2100-01-01T00:00:00Z",` +
		`"files":{"p/acme/echo.json":{"sha256":"` + digest + `","size":10}},` +
		`"revoked":[{"sha256":"` + digest + `","reason":"stolen key"},{"release":"acme/echo@0.9.0","reason":"loses events"}],"later":{"unknown":[1]}}`
	goodRelease = `{"format":"berth-release-v1","publisher":"acme","name":"echo","version":"1.2.0","sha256":"` + digest + `","size":4711,` +
		`"abi":"berth_v1","capabilities":[{"name":"http","hosts":["api.example.com"],"reason":"asks for rates"}],"released":"2026-01-31T12:00:00Z"}`
	goodVersion = `{"version":"1.2.0","abi":"berth_v1","sha256":"` + digest + `","size":4711,"capabilities":[],"urls":["blobs/sha256/` + digest + `.wasm"],"released":"2026-01-31T12:00:00Z"}`
	goodPage    = `{"publisher":"acme","name":"echo","description":"Says it again","license":"Apache-2.0","homepage":"https://example.com/echo",` +
		`"key":"KEY","versions":[` + goodVersion + `]}`
)

func makeVectors(t *testing.T) vectors {
	all := vectors{
		Note: "Made by go test ./host/marketplace/format -run TestVectors -update. The secret keys are in keys/ for everybody to know: they sign nothing but tests.",
		Keys: map[string]string{},
	}
	for _, name := range []string{"marketplace", "publisher", "other"} {
		all.Keys[name] = signer(t, name).Key().String()
	}
	page := strings.Replace(goodPage, "KEY", all.Keys["publisher"], 1)
	add := func(file, path, name, want, text string) {
		all.Cases = append(all.Cases, vector{Name: file + ": " + name, File: file, Path: path, Text: text, Want: want})
	}
	swap := func(text, old, new string) string {
		if strings.Count(text, old) == 0 {
			t.Fatalf("%q is not in the text", old)
		}
		return strings.Replace(text, old, new, 1)
	}
	for _, c := range []struct{ name, want, old, new string }{
		{"valid, with a key that is not known", "", "", ""},
		{"another format", "unknown_format", "marketplace-v1", "marketplace-v2"},
		{"no format", "malformed", `"format"`, `"Format"`},
		{"a key twice", "malformed", `"sequence":7`, `"sequence":7,"sequence":8`},
		{"a key twice, once escaped", "malformed", `"sequence":7`, `"sequence":7,"\u0073equence":8`},
		{"a key twice where nobody looks", "malformed", `"unknown":[1]`, `"unknown":[1],"unknown":[1]`},
		{"sequence 0", "malformed", `:7,`, `:0,`},
		{"sequence in quotes", "malformed", `:7,`, `:"7",`},
		{"sequence with a fraction", "malformed", `:7,`, `:7.5,`},
		{"no expiry", "malformed", `"expires"`, `"expired"`},
		{"expiry without a zone", "malformed", `00Z"`, `00"`},
		{"expiry in another zone", "malformed", `00Z"`, `00+01:00"`},
		{"not a name", "bad_name", `"acme-plugins"`, `"Acme plugins"`},
		{"a path upwards", "bad_path", `"p/acme/echo.json"`, `"p/../../etc/passwd"`},
		{"an absolute path", "bad_path", `"p/acme/echo.json"`, `"/p/acme/echo.json"`},
		{"a URL for a path", "bad_path", `"p/acme/echo.json"`, `"https://example.com/x"`},
		{"a digest in capitals", "malformed", digest, strings.ToUpper(digest)},
		{"a short digest", "malformed", digest, digest[:62]},
		{"a negative size", "malformed", `"size":10`, `"size":-1`},
		{"revoked without a reason", "malformed", `,"reason":"stolen key"`, ``},
		{"revoked twofold", "malformed", `{"sha256":"` + digest + `","reason"`, `{"release":"acme/echo@1.0.0","sha256":"` + digest + `","reason"`},
		{"revoked without a version", "bad_version", `acme/echo@0.9.0`, `acme/echo`},
		{"revoked by a path", "bad_name", `acme/echo@0.9.0`, `acme/../x@1.0.0`},
		{"null", "malformed", `"files":{"p/acme/echo.json":{"sha256":"` + digest + `","size":10}}`, `"files":null`},
		{"text after the end", "malformed", `[1]}}`, `[1]}}{}`},
		{"nested too deep", "malformed", `[1]`, strings.Repeat("[", 20) + strings.Repeat("]", 20)},
		{"not UTF-8", "malformed", `"unknown"`, "\"\xff\""},
	} {
		text := goodRoot
		if c.old != "" {
			text = swap(goodRoot, c.old, c.new)
		}
		if c.name == "not UTF-8" {
			continue // JSON cannot hold the vector; TestNotUTF8 has it
		}
		add("root", "root.json", c.name, c.want, text)
	}
	add("root", "root.json", "nothing", "malformed", "")
	add("root", "root.json", "an array", "malformed", "[]")
	const pagePath = "p/acme/echo.json"
	for _, c := range []struct{ name, want, old, new string }{
		{"valid", "", "", ""},
		{"of another publisher", "mismatch", `"acme"`, `"emca"`},
		{"of another plugin", "mismatch", `"name":"echo"`, `"name":"ohce"`},
		{"a key that is none", "bad_key", all.Keys["publisher"], "RWQtoo-short"},
		{"a version that is a path", "bad_version", `"version":"1.2.0"`, `"version":"1.0.0/../../x"`},
		{"a version with a v", "bad_version", `"version":"1.2.0"`, `"version":"v1.2.0"`},
		{"a version in part", "bad_version", `"version":"1.2.0"`, `"version":"1.2"`},
		{"two versions of the same precedence", "malformed", goodVersion, goodVersion + "," + swap(goodVersion, "1.2.0", "1.2.0+again")},
		{"no URL", "malformed", `"urls":["blobs/sha256/` + digest + `.wasm"]`, `"urls":[]`},
		{"a URL elsewhere", "bad_path", `"urls":["blobs`, `"urls":["https://example.com/blobs`},
		{"a URL upwards", "bad_path", `"urls":["blobs`, `"urls":["../blobs`},
		{"a URL with a query", "bad_path", `.wasm"]`, `.wasm?x=1"]`},
		{"a hidden file", "bad_path", `"urls":["blobs`, `"urls":[".git`},
		{"too many URLs", "too_large", `"urls":[`, `"urls":[` + strings.Repeat(`"a",`, 8)},
		{"a capability that is none", "malformed", `"capabilities":[]`, `"capabilities":[{"name":"root"}]`},
		{"a capability with more to it", "malformed", `"capabilities":[]`, `"capabilities":[{"name":"kv","also":"disk"}]`},
		{"no capabilities", "malformed", `"capabilities":[],`, ``},
		{"a text that turns around", "malformed", `Says`, `\u202eSays`},
		{"a homepage that is a script", "malformed", `https://example.com/echo`, `javascript:alert(1)`},
		{"larger than a module may be", "malformed", `4711`, `67108865`},
		{"yanked in words", "malformed", `"size":4711`, `"size":4711,"yanked":"yes"`},
	} {
		text := page
		if c.old != "" {
			text = swap(page, c.old, c.new)
		}
		add("page", pagePath, c.name, c.want, text)
	}
	add("page", "p/acme/../x.json", "at a path upwards", "bad_name", page)
	for _, c := range []struct{ name, want, old, new string }{
		{"valid", "", "", ""},
		{"another format", "unknown_format", "release-v1", "marketplace-v1"},
		{"a publisher that is a path", "bad_name", `"acme"`, `"../x"`},
		{"a name that is a path", "bad_name", `"echo"`, `"../x"`},
		{"a version that is a path", "bad_version", `"1.2.0"`, `"1.0.0/../../x"`},
		{"no size", "malformed", `"size"`, `"length"`},
		{"a capability twice", "malformed", `"capabilities":[`, `"capabilities":[{"name":"kv"},{"name":"kv"},`},
	} {
		text := goodRelease
		if c.old != "" {
			text = swap(goodRelease, c.old, c.new)
		}
		add("release", "release.json", c.name, c.want, text)
	}
	for path, want := range map[string]string{
		"p/acme/echo.json": "", "blobs/sha256/x.wasm": "", "r/acme/echo/1.0.0+build.1/release.json": "",
	} {
		all.Cases = append(all.Cases, vector{Name: "path: " + path, File: "path", Path: path, Want: want})
	}
	for _, path := range []string{"", "/", "a/", "/a", "a//b", ".", "..", "a/..", "a/./b", ".a", `a\b`, "a b", "a%2e", "a:b", "ä", "a\n", "a?b", "a#b", "~a", strings.Repeat("a/", 300) + "a"} {
		all.Cases = append(all.Cases, vector{Name: "path: " + path[:min(len(path), 20)], File: "path", Path: path, Want: "bad_path"})
	}
	signatures(t, &all)
	return all
}

// signatures makes the vectors of a root's signature.
func signatures(t *testing.T, all *vectors) {
	by, other := signer(t, "marketplace"), signer(t, "other")
	good := string(by.Sign([]byte(goodRoot), "berth marketplace acme-plugins sequence 7"))
	lines := strings.SplitAfter(good, "\n")
	legacy := func() string {
		secret, err := os.ReadFile(filepath.Join(vectorsDir, "keys", "marketplace.key"))
		check(t, err)
		var key minisign.PrivateKey
		check(t, key.UnmarshalText(secret))
		sig, err := key.Sign(nil, []byte(goodRoot), noHash{})
		check(t, err)
		var s minisign.Signature
		check(t, s.UnmarshalText(sig))
		s.UntrustedComment = "of the legacy algorithm"
		text, err := s.MarshalText()
		check(t, err)
		return string(text)
	}
	flip := func(line int) string { // one bit of a line of base64
		changed := append([]string{}, lines...)
		b := []byte(changed[line])
		if b[20]++; b[20] == 'Z'+1 || b[20] == 'z'+1 || b[20] == '9'+1 || b[20] == '/'+1 || b[20] == '+'+1 {
			b[20] = 'A'
		}
		changed[line] = string(b)
		return strings.Join(changed, "")
	}
	trusted := []string{"marketplace"}
	for _, c := range []struct {
		name, want, text string
		signature        *string
		keys             []string
	}{
		{"valid", "", goodRoot, &good, trusted},
		{"one of two keys", "", goodRoot, &good, []string{"other", "marketplace"}},
		{"without the line feed at the end", "", goodRoot, new(strings.TrimSuffix(good, "\n")), trusted},
		{"another untrusted comment", "", goodRoot, new("untrusted comment: hello\n" + strings.Join(lines[1:], "")), trusted},
		{"missing", "no_signature", goodRoot, nil, trusted},
		{"empty", "empty_signature", goodRoot, new(""), trusted},
		{"cut off in the first line", "truncated_signature", goodRoot, new(good[:10]), trusted},
		{"cut off in the second line", "truncated_signature", goodRoot, new(lines[0] + lines[1][:50]), trusted},
		{"cut off after the second line", "truncated_signature", goodRoot, new(lines[0] + lines[1]), trusted},
		{"cut off in the fourth line", "truncated_signature", goodRoot, new(strings.TrimSuffix(good, "\n")[:len(good)-3]), trusted},
		{"a line after the end", "trailing_bytes", goodRoot, new(good + "x"), trusted},
		{"an empty line after the end", "trailing_bytes", goodRoot, new(good + "\n"), trusted},
		{"bytes after the second line", "trailing_bytes", goodRoot, new(lines[0] + strings.TrimSuffix(lines[1], "\n") + "AAAA\n" + lines[2] + lines[3]), trusted},
		{"line ends of another system", "trailing_bytes", goodRoot, new(strings.ReplaceAll(good, "\n", "\r\n")), trusted},
		{"some text", "malformed_signature", goodRoot, new("<html>Not found</html>\n"), trusted},
		{"not base64", "malformed_signature", goodRoot, new(lines[0] + "*" + lines[1][1:] + lines[2] + lines[3]), trusted},
		{"another algorithm", "malformed_signature", goodRoot, new(lines[0] + "X" + lines[1][1:] + lines[2] + lines[3]), trusted},
		{"not prehashed", "not_prehashed", goodRoot, new(legacy()), trusted},
		{"by another key", "wrong_key", goodRoot, new(string(other.Sign([]byte(goodRoot), "x"))), trusted},
		{"of another content", "bad_signature", strings.Replace(goodRoot, ":7,", ":8,", 1), &good, trusted},
		{"a changed signature", "bad_signature", goodRoot, new(flip(1)), trusted},
		{"a changed trusted comment", "bad_signature", goodRoot, new(lines[0] + lines[1] + "trusted comment: x\n" + lines[3]), trusted},
		{"a changed comment's signature", "bad_signature", goodRoot, new(flip(3)), trusted},
		{"nobody is trusted", "no_key", goodRoot, &good, []string{""}},
		{"larger than a signature may be", "too_large", goodRoot, new(good + strings.Repeat("x", 4096)), trusted},
	} {
		all.Cases = append(all.Cases, vector{Name: "signature: " + c.name, File: "root", Path: "root.json", Text: c.text, Signature: c.signature, Keys: c.keys, Want: c.want})
	}
}

func TestNotUTF8(t *testing.T) {
	_, err := format.ParseRoot([]byte(strings.Replace(goodRoot, `"unknown"`, "\"\xff\"", 1)))
	if !errors.Is(err, format.Malformed) {
		t.Errorf("got %v", err)
	}
}

func TestBounds(t *testing.T) {
	many := func(n int, item string) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	for name, tt := range map[string]struct {
		text string
		kind format.Kind
	}{
		"a large root":       {goodRoot + strings.Repeat(" ", format.MaxRoot), format.TooLarge},
		"many values":        {strings.Replace(goodRoot, "[1]", "["+many(450_000, "1")+"]", 1), format.Malformed},
		"many revocations":   {strings.Replace(goodRoot, `"revoked":[`, `"revoked":[`+many(10_000, `{"release":"a/b@1.0.0","reason":"x"}`)+",", 1), format.TooLarge},
		"a long reason":      {strings.Replace(goodRoot, "stolen key", strings.Repeat("x", format.MaxText+1), 1), format.Malformed},
		"the longest reason": {strings.Replace(goodRoot, "stolen key", strings.Repeat("x", format.MaxText), 1), ""},
	} {
		_, err := format.ParseRoot([]byte(tt.text))
		if tt.kind == "" && err != nil || tt.kind != "" && !errors.Is(err, tt.kind) {
			t.Errorf("%s: got %v, want %q", name, err, tt.kind)
		}
	}
}

type noHash struct{}

func (noHash) HashFunc() crypto.Hash { return 0 }

func TestRoundTrip(t *testing.T) {
	root, err := format.ParseRoot([]byte(goodRoot))
	check(t, err)
	want := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	if root.Marketplace != "acme-plugins" || root.Sequence != 7 || !root.Expires.Equal(want) || len(root.Files) != 1 || len(root.Revoked) != 2 {
		t.Errorf("got %+v", root)
	}
	text, err := root.Encode()
	check(t, err)
	again, err := format.ParseRoot(text)
	check(t, err)
	twice, err := again.Encode()
	check(t, err)
	if !bytes.Equal(text, twice) {
		t.Errorf("the root is written as\n%s\nand then as\n%s", text, twice)
	}
}
