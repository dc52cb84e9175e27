package strictjson_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi/strictjson"
)

func TestDepth(t *testing.T) {
	for _, tt := range []struct {
		text string
		want int
	}{
		{`1`, 0}, {`"[[["`, 0}, {`[]`, 1}, {`{"a":{}}`, 2}, {`[[],[[]],[]]`, 3}, {`{"[":"]"}`, 1}, {`["\"[",[]]`, 2},
		{strings.Repeat("[", 1000) + strings.Repeat("]", 1000), 1000}, {`"`, 0}, {`]`, 0}, {``, 0},
	} {
		if got := strictjson.Depth([]byte(tt.text)); got != tt.want {
			t.Errorf("Depth(%.20q) = %d, want %d", tt.text, got, tt.want)
		}
	}
}

func TestLoneSurrogate(t *testing.T) {
	for _, tt := range []struct {
		text string
		want bool
	}{
		{`"a"`, false}, {`"\u0041"`, false}, {`"\ud83d\ude00"`, false}, {`"\uD83D\uDE00x"`, false}, {`"\\ud800"`, false}, {`"\ufffd"`, false}, {"\"\uFFFD\"", false},
		{`"\ud800"`, true}, {`"\udc00"`, true}, {`"\ud83dx"`, true}, {`"\ud83d\n"`, true}, {`"\ude00\ud83d"`, true}, {`"\ud83d\ud83d\ude00"`, true},
		{`"\ud83d\ude00\udfff"`, true}, {`"\ud7ff\ue000"`, false}, {`"\uDBFF\uDFFF"`, false}, {`"\\\ud800"`, true}, {`"\ud800`, true}, {`\`, false}, {`\ud8`, false},
	} {
		if got := strictjson.LoneSurrogate([]byte(tt.text)); got != tt.want {
			t.Errorf("LoneSurrogate(%q) = %v, want %v", tt.text, got, tt.want)
		}
	}
}

// FuzzLoneSurrogate compares with what encoding/json replaces.
func FuzzLoneSurrogate(f *testing.F) {
	f.Add(`\ud83d\ude00 \ud800 \\ud800`)
	f.Fuzz(func(t *testing.T, inside string) {
		text := []byte(`"` + inside + `"`)
		strictjson.Depth(text)
		lone := strictjson.LoneSurrogate(text)
		var decoded string
		if !json.Valid(text) || strings.ContainsAny(inside, "\uFFFD") || strings.Contains(strings.ToLower(inside), `\ufffd`) {
			return
		}
		if err := json.Unmarshal(text, &decoded); err != nil {
			t.Fatal(err)
		}
		if replaced := strings.ContainsRune(decoded, '\uFFFD') && strings.ToValidUTF8(inside, "") == inside; replaced != lone && strings.ToValidUTF8(inside, "") == inside {
			t.Fatalf("LoneSurrogate(%q) = %v, encoding/json reads %q", text, lone, decoded)
		}
	})
}
