package abi

// SectionError is an error of FindSection and PutSection. Its values are constants, so ==
// compares them.
type SectionError string

// The errors of FindSection and PutSection.
const (
	ErrNotModule SectionError = "not a WebAssembly module: it does not begin with the bytes \\0asm"
	ErrComponent SectionError = "a WebAssembly component: build a core module instead (target wasip1 or wasm32-unknown-unknown)"
	ErrVersion   SectionError = "not WebAssembly of version 1"
	ErrSection   SectionError = "a damaged module: a section exceeds the file"
	ErrTwice     SectionError = "the module has two custom sections of that name"
)

// Error returns the text of the constant.
func (e SectionError) Error() string { return string(e) }

// FindSection returns the contents of a module's custom section. The slice shares
// wasm's memory. It reads the section headers only, once each, allocates nothing,
// and stops at the first violation of the WebAssembly binary format; the contents of
// other sections are not checked. Two sections of the name are an error, so that no
// two readers take different sections for the manifest. Errors are SectionErrors.
func FindSection(wasm []byte, name string) ([]byte, bool, error) {
	if err := checkHeader(wasm); err != nil {
		return nil, false, err
	}
	var found []byte
	ok := false
	for unread := wasm[8:]; len(unread) > 0; {
		id := unread[0]
		section, after, fits := cut(unread[1:])
		if !fits {
			return nil, false, ErrSection
		}
		unread = after
		if id != 0 {
			continue
		}
		label, contents, fits := cut(section)
		if !fits {
			return nil, false, ErrSection
		}
		if string(label) != name {
			continue
		}
		if ok {
			return nil, false, ErrTwice
		}
		found, ok = contents, true
	}
	return found, ok, nil
}

// PutSection returns a copy of a module with exactly one custom section of the name:
// those that it has are left out, and one with these contents is appended. Errors are
// SectionErrors, as of FindSection.
func PutSection(wasm []byte, name string, contents []byte) ([]byte, error) {
	out, err := RemoveSections(wasm, func(label string) bool { return label == name })
	if err != nil {
		return nil, err
	}
	label := appendLength(nil, len(name))
	out = appendLength(append(out, 0), len(label)+len(name)+len(contents))
	return append(append(append(out, label...), name...), contents...), nil
}

// RemoveSections returns a copy of a module without the custom sections whose names are
// unwanted. Its errors are those of FindSection.
func RemoveSections(wasm []byte, unwanted func(name string) bool) ([]byte, error) {
	if err := checkHeader(wasm); err != nil {
		return nil, err
	}
	const header = 8 // bytes
	out := append(make([]byte, 0, len(wasm)), wasm[:header]...)
	for unread := wasm[header:]; len(unread) > 0; {
		section, after, fits := cut(unread[1:])
		if !fits {
			return nil, ErrSection
		}
		whole := unread[:len(unread)-len(after)]
		unread = after
		if whole[0] == 0 {
			label, _, fits := cut(section)
			if !fits {
				return nil, ErrSection
			}
			if unwanted(string(label)) {
				continue
			}
		}
		out = append(out, whole...)
	}
	return out, nil
}

// checkHeader checks the magic bytes and the version of a module.
func checkHeader(wasm []byte) error {
	if len(wasm) < 8 || string(wasm[:4]) != "\x00asm" {
		return ErrNotModule
	}
	switch string(wasm[4:8]) {
	case "\x01\x00\x00\x00":
		return nil
	case "\x0d\x00\x01\x00":
		return ErrComponent
	}
	return ErrVersion
}

// appendLength appends a length in unsigned LEB128.
func appendLength(b []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// cut splits b, which begins with a length in unsigned LEB128 of at most 32
// bits, into the bytes of that length and the remaining ones.
func cut(b []byte) (head, tail []byte, ok bool) {
	var n uint32
	for i := 0; i < len(b) && i < 5; i++ {
		c := b[i]
		if i == 4 && c > 0x0f {
			return nil, nil, false
		}
		n |= uint32(c&0x7f) << (7 * i)
		if c < 0x80 {
			b = b[i+1:]
			if uint64(n) > uint64(len(b)) {
				return nil, nil, false
			}
			return b[:n:n], b[n:], true
		}
	}
	return nil, nil, false
}
