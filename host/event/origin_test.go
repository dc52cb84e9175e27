package event_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// TestOriginVectors are origins as files have them.
func TestOriginVectors(t *testing.T) {
	for text, want := range map[string]event.Origin{
		"":                           {},
		"sorders":                    {Publisher: spec.Publisher{Source: "orders"}},
		"ttk_1\nnci":                 {Publisher: spec.Publisher{Token: "tk_1", Name: "ci"}},
		"ttk_1\nna%0Ab%250A\noh\ncx": {Publisher: spec.Publisher{Token: "tk_1", Name: "a\nb%0A"}, Only: "h", CopyOf: "x"},
	} {
		if got := want.Encode(); got != text {
			t.Errorf("Encode(%+v): got %q, want %q", want, got, text)
		}
		if got := event.ParseOrigin(text); got != want {
			t.Errorf("ParseOrigin(%q): got %+v, want %+v", text, got, want)
		}
	}
	// Fields of a later version, and nonsense.
	want := event.Origin{Publisher: spec.Publisher{Source: "a"}, Only: "%"}
	if got := event.ParseOrigin("zlater\nsa\n\n?\no%"); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOriginRoundTrip(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[%\n0-9A-Ft]{0,12}`))
	rapid.Check(t, func(t *rapid.T) {
		o := event.Origin{Publisher: spec.Publisher{Token: text.Draw(t, "token"), Name: text.Draw(t, "name"), Source: text.Draw(t, "source")},
			Only: text.Draw(t, "only"), CopyOf: text.Draw(t, "copy of")}
		if ns := rapid.Int64().Draw(t, "due"); ns != 0 {
			o.Due = time.Unix(0, ns).UTC()
		}
		encoded := o.Encode()
		if got := event.ParseOrigin(encoded); got != o || encoded == "" != o.IsZero() {
			t.Fatalf("%+v is encoded as %q, which is %+v", o, encoded, got)
		}
	})
}

// FuzzParseOrigin: what was parsed is encoded to a text that means the same.
func FuzzParseOrigin(f *testing.F) {
	for _, text := range []string{"", "sorders", "ttk_1\nnci", "n%", "n%2", "n%0A%25", "x", "\n\n", "t\nt1\nt2", "d1", "d-5", "d9e9"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o := event.ParseOrigin(text)
		if got := event.ParseOrigin(o.Encode()); got != o {
			t.Errorf("%q: got %+v and then %+v", text, o, got)
		}
	})
}

// TestOriginIsNoContent: an origin changes neither content nor size nor envelope.
func TestOriginIsNoContent(t *testing.T) {
	ev, err := event.New(event.Draft{Type: "t", IdempotencyKey: "k"})
	if err != nil {
		t.Fatal(err)
	}
	o := event.Origin{Publisher: spec.Publisher{Token: strings.Repeat("t", 100)}, Only: "h"}
	with := ev.WithOrigin(o)
	if !ev.Origin().IsZero() || with.Origin() != o || !ev.SameContent(with) || ev.Size() != with.Size() || ev.Envelope() != with.Envelope() ||
		ev.Digest() != with.Digest() || ev.ID() != with.ID() {
		t.Errorf("got %+v of %+v", with, ev)
	}
	stored, err := event.ParseStored(with.Envelope(), event.ParseOrigin(o.Encode()))
	if err != nil || stored.Origin() != o || stored.Envelope() != ev.Envelope() {
		t.Errorf("got %+v, %v", stored, err)
	}
	if _, err := event.ParseStored("{}", o); err == nil {
		t.Error("an envelope that is none was parsed")
	}
}
