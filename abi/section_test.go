package abi_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-host/berth/abi"
)

const header = "\x00asm\x01\x00\x00\x00"

// custom is a custom section; both texts are short enough for lengths of one byte.
func custom(name, contents string) string {
	return "\x00" + string(rune(1+len(name)+len(contents))) + string(rune(len(name))) + name + contents
}

func TestFindSection(t *testing.T) {
	typeSection := "\x01\x04\x01\x60\x00\x00"
	tests := []struct {
		name, wasm, want string
		found            bool
		err              error
	}{
		{name: "empty module", wasm: header},
		{name: "alone", wasm: header + custom("m", "{}"), want: "{}", found: true},
		{name: "after others", wasm: header + typeSection + custom("name", "x") + custom("m", "{}"), want: "{}", found: true},
		{name: "before others", wasm: header + custom("m", "{}") + typeSection, want: "{}", found: true},
		{name: "empty", wasm: header + custom("m", ""), found: true},
		{name: "longer name", wasm: header + custom("mm", "{}")},
		{name: "inside another section", wasm: header + custom("x", custom("m", "{}"))},
		{name: "padded length", wasm: header + "\x00\x84\x80\x80\x80\x00\x01m{}", want: "{}", found: true},
		{name: "unknown section id", wasm: header + "\x7f\x01x" + custom("m", "{}"), want: "{}", found: true},
		{name: "twice", wasm: header + custom("m", "1") + custom("m", "2"), err: abi.ErrTwice},
		{name: "nothing", err: abi.ErrNotModule},
		{name: "text", wasm: `{"name":"x"}`, err: abi.ErrNotModule},
		{name: "magic only", wasm: "\x00asm", err: abi.ErrNotModule},
		{name: "component", wasm: "\x00asm\x0d\x00\x01\x00", err: abi.ErrComponent},
		{name: "version 2", wasm: "\x00asm\x02\x00\x00\x00", err: abi.ErrVersion},
		{name: "no length", wasm: header + "\x00", err: abi.ErrSection},
		{name: "length past the end", wasm: header + "\x01\x05abcd", err: abi.ErrSection},
		{name: "largest length", wasm: header + "\x01\xff\xff\xff\xff\x0f", err: abi.ErrSection},
		{name: "length over 32 bits", wasm: header + "\x01\x80\x80\x80\x80\x10", err: abi.ErrSection},
		{name: "length that does not end", wasm: header + "\x01\x80\x80\x80\x80\x80\x00", err: abi.ErrSection},
		{name: "length cut off", wasm: header + "\x01\x80", err: abi.ErrSection},
		{name: "no room for a name", wasm: header + "\x00\x00", err: abi.ErrSection},
		{name: "name past the section", wasm: header + "\x00\x02\x02m" + custom("m", "{}"), err: abi.ErrSection},
		{name: "damage after the find", wasm: header + custom("m", "{}") + "\x01\x05", err: abi.ErrSection},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, found, err := abi.FindSection([]byte(tt.wasm), "m")
			if string(got) != tt.want || found != tt.found || err != tt.err {
				t.Errorf("got %q, %v, %v; want %q, %v, %v", got, found, err, tt.want, tt.found, tt.err)
			}
			if found && cap(got) != len(got) {
				t.Error("appending to the contents would write into the module")
			}
		})
	}
}

func TestFindSectionAllocates(t *testing.T) {
	for _, wasm := range []string{header + custom("name", "x") + custom("m", "{}"), header + "\x01\x05", "no module"} {
		b := []byte(wasm)
		if n := testing.AllocsPerRun(100, func() { abi.FindSection(b, "m") }); n != 0 {
			t.Errorf("%q: %v allocations, want none", wasm, n)
		}
	}
}

func FuzzFindSection(f *testing.F) {
	f.Add([]byte(header+custom("name", "x")+custom("berth.manifest", "{}")), "berth.manifest")
	f.Add([]byte(header+"\x00\x84\x80\x80\x80\x00\x01m{}"), "m")
	guests, _ := filepath.Glob(filepath.Join(guestsDir, "*.wasm"))
	for _, guest := range guests {
		wasm, err := os.ReadFile(guest)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wasm, "name")
	}
	f.Fuzz(func(t *testing.T, wasm []byte, name string) {
		got, found, err := abi.FindSection(wasm, name)
		if err != nil || !found {
			if got != nil || err != nil && found {
				t.Errorf("got %q, %v, %v", got, found, err)
			}
			return
		}
		if !bytes.Contains(wasm, []byte(name+string(got))) {
			t.Errorf("%q is not in the module", got)
		}
		// A second section of the same name is noticed.
		if len(name) < 100 {
			twice := append(bytes.Clone(wasm), custom(name, "")...)
			if _, _, err := abi.FindSection(twice, name); err != abi.ErrTwice {
				t.Errorf("with the section twice: %v", err)
			}
		}
	})
}

func TestPutSection(t *testing.T) {
	typeSection := "\x01\x04\x01\x60\x00\x00"
	padded := "\x01\x84\x80\x00\x01\x60\x00\x00" // other sections remain byte for byte
	tests := []struct {
		name, wasm, contents, want string
		err                        error
	}{
		{name: "empty module", wasm: header, contents: "{}", want: header + custom("m", "{}")},
		{name: "after others", wasm: header + padded + custom("name", "x"), contents: "{}", want: header + padded + custom("name", "x") + custom("m", "{}")},
		{name: "replaced", wasm: header + custom("m", "1") + typeSection, contents: "2", want: header + typeSection + custom("m", "2")},
		{name: "two replaced", wasm: header + custom("m", "1") + typeSection + custom("m", "3"), contents: "2", want: header + typeSection + custom("m", "2")},
		{name: "longer name stays", wasm: header + custom("mm", "1"), contents: "2", want: header + custom("mm", "1") + custom("m", "2")},
		{name: "empty contents", wasm: header, want: header + custom("m", "")},
		{name: "text", wasm: "{}", err: abi.ErrNotModule},
		{name: "component", wasm: "\x00asm\x0d\x00\x01\x00", err: abi.ErrComponent},
		{name: "length past the end", wasm: header + "\x01\x05abcd", err: abi.ErrSection},
		{name: "name past the section", wasm: header + "\x00\x02\x02m", err: abi.ErrSection},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := tt.wasm
			got, err := abi.PutSection([]byte(tt.wasm), "m", []byte(tt.contents))
			if string(got) != tt.want || err != tt.err || tt.wasm != before {
				t.Errorf("got %q, %v; want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestRemoveSections(t *testing.T) {
	typeSection := "\x01\x04\x01\x60\x00\x00"
	wasm := header + custom("a", "1") + typeSection + custom("b", "2") + custom("a", "3")
	got, err := abi.RemoveSections([]byte(wasm), func(name string) bool { return name == "a" })
	if want := header + typeSection + custom("b", "2"); err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if _, err := abi.RemoveSections([]byte(header+"\x01\x05abcd"), func(string) bool { return false }); err != abi.ErrSection {
		t.Errorf("a damaged module: got %v", err)
	}
}

// What PutSection writes, FindSection reads, whatever was there before.
func FuzzPutSection(f *testing.F) {
	f.Add([]byte(header), "m", []byte("{}"))
	f.Add([]byte(header+custom("m", "1")+custom("m", "2")), "m", bytes.Repeat([]byte("x"), 200))
	f.Fuzz(func(t *testing.T, wasm []byte, name string, contents []byte) {
		out, err := abi.PutSection(wasm, name, contents)
		if err != nil {
			return
		}
		got, found, err := abi.FindSection(out, name)
		if err != nil || !found || !bytes.Equal(got, contents) {
			t.Fatalf("got %q, %v, %v; want %q", got, found, err, contents)
		}
		again, err := abi.PutSection(out, name, contents)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("a second time: got %q, %v; want %q", again, err, out)
		}
	})
}
