package lockfile_test

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/config/lockfile"
)

type book struct {
	Format int             `json:"format"`
	Pages  map[string]page `json:"pages"`
}

type page struct {
	Text  string   `json:"text"`
	Lines []string `json:"lines,omitempty"`
}

// TestRoundTrip: every value is equal after Marshal and Unmarshal.
func TestRoundTrip(t *testing.T) {
	c := lockfile.Codec{Header: "written by a test"}
	rapid.Check(t, func(t *rapid.T) {
		want := book{Format: 1, Pages: map[string]page{}}
		for _, key := range rapid.SliceOfN(rapid.StringMatching(`[a-z0-9-]{1,20}`), 0, 5).Draw(t, "keys") {
			p := page{Text: rapid.String().Draw(t, "text")}
			if lines := rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "lines"); len(lines) > 0 {
				p.Lines = lines
			}
			want.Pages[key] = p
		}
		text, err := c.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got book
		if err := c.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v, want %+v of\n%s", got, err, want, text)
		}
		if !strings.HasPrefix(string(text), "# written by a test\n") {
			t.Fatalf("the text begins with %q", text)
		}
	})
}

func TestUnmarshalRefusesTextOfOthers(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "empty",
		"format: 1\nformat: 2":           "already defined",
		"format: 1\nfromat: 2":           "fromat: unknown key",
		"format: 1\nFormat: 2":           "Format: unknown key",
		"format: 1\n<<: {pages: {}}":     "line 2: aliases, anchors and merges",
		"pages: {a: {text: x, TEXT: y}}": "unknown key",
		"format: 1\n---\nformat: 2":      "more than one document",
		"format: one":                    "format: must be a whole number",
		"format: &a 1\npages: {}":        "line 1: aliases, anchors and merges",
		"pages: [":                       "did not find",
		strings.Repeat("#", 8<<20) + "#": "the limit is",
	} {
		if err := (lockfile.Codec{}).Unmarshal([]byte(text), new(book)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %s", text, err, want)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte("format: 1\npages: {a: {text: b}}"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, again book
		c := lockfile.Codec{}
		if c.Unmarshal(text, &got) != nil {
			return
		}
		out, err := c.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Unmarshal(out, &again); err != nil || got.Format != again.Format || len(got.Pages) != len(again.Pages) {
			t.Errorf("%q became %q: %v", text, out, err)
		}
	})
}
