package datafile

import (
	"bytes"
	"math"
	"testing"
)

const exampleStore = "00112233445566778899aabbccddeeff"

func TestWatermarkRecord(t *testing.T) {
	for _, p := range []Position{
		{Store: exampleStore},
		{Store: exampleStore, Seq: 1, Writes: 2},
		{Store: exampleStore, Seq: math.MaxUint64, Writes: math.MaxUint64},
	} {
		text := appendWatermark(nil, p)
		if got, err := parseWatermark(text); err != nil || got != p {
			t.Errorf("%+v: got %+v, %v", p, got, err)
		}
		if len(text) != watermarkSize {
			t.Errorf("%+v: %d bytes, want %d: an overwrite would leave a part of the record before", p, len(text), watermarkSize)
		}
	}
}

func FuzzWatermark(f *testing.F) {
	valid := appendWatermark(nil, Position{Store: exampleStore, Seq: 77, Writes: 99})
	f.Add([]byte(nil))
	f.Add(valid)
	f.Add(valid[:len(valid)-1])
	f.Add(append(bytes.Clone(valid), 'x'))
	f.Add(bytes.Replace(valid, []byte("77"), []byte("78"), 1))
	f.Add(bytes.ToUpper(valid))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parseWatermark(text)
		if err == nil && !bytes.Equal(appendWatermark(nil, p), text) {
			t.Errorf("%q was read as %+v, which is written otherwise", text, p)
		}
	})
}
