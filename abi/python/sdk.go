// Package python has the SDK for handlers in Python: the interpreter and the module
// berth, and Module, which puts a handler's source into them. It needs no toolchain.
package python

import (
	"bytes"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Stubs are the types of the module berth for editors, in the directory "stubs".
//
//go:embed all:stubs
var Stubs embed.FS

//go:embed engine.wasm
var engine []byte

//go:embed berth.py
var sdk string

// File is a file of a handler: its name, such as handler.py, and its text.
type File struct{ Name, Source string }

// Module returns the interpreter with a handler's files, of which the first is run. A text
// must be UTF-8 without zero bytes.
func Module(files []File) ([]byte, error) {
	if len(files) == 0 {
		return nil, errors.New("no Python files")
	}
	second := slices.ContainsFunc(files, func(f File) bool { return secondEdition.MatchString(f.Source) })
	engine, program := engine, []byte(sdk)
	for _, f := range files {
		if !utf8.ValidString(f.Source) || strings.ContainsRune(f.Source, 0) {
			return nil, fmt.Errorf("%s is not a text in UTF-8", f.Name)
		}
		program = append(append(append(append(program, 0), f.Name...), '\n'), f.Source...)
	}
	if !second {
		var err error
		if engine, err = withoutSecondEdition(engine); err != nil {
			return nil, err
		}
		program = bytes.Replace(program, []byte("_second_edition = True"), []byte("_second_edition = False"), 1)
	}
	return withProgram(engine, program)
}

// secondEdition finds the words by which a handler calls functions of the second edition of
// the ABI: kv.scan, kv.expire, trace.
var secondEdition = regexp.MustCompile(`\b(scan|expire|trace)\b`)

// withoutSecondEdition returns the engine without the imports of the second edition: a host
// without them refuses a module that imports one. Others of the same types are imported twice
// instead; the SDK does not call them.
func withoutSecondEdition(engine []byte) ([]byte, error) {
	for at := 8; at < len(engine); {
		size, n := binary.Uvarint(engine[at+1:])
		if n <= 0 || size > uint64(len(engine)-at-1-n) {
			break
		}
		begin := at + 1 + n
		end := begin + int(size)
		if engine[at] != sectionImport {
			at = end
			continue
		}
		imports := engine[begin:end]
		for _, name := range [][2]string{{"kv_list", "kv_cas"}, {"kv_expire", "finish"}, {"trace", "next"}} {
			imports = bytes.Replace(imports, importNames(name[0]), importNames(name[1]), 1)
		}
		out := binary.AppendUvarint(slices.Clone(engine[:at+1]), uint64(len(imports)))
		return slices.Concat(out, imports, engine[end:]), nil
	}
	return nil, errors.New("the engine has no imports")
}

// importNames returns the names of a function of berth_v1 as an import section has them.
func importNames(function string) []byte {
	return append([]byte("\x08berth_v1"+string(rune(len(function)))), function...)
}

// emptyProgram is the end of the engine: its last section is the data, and the last
// segment there is passive and has a program of length zero.
var emptyProgram = []byte{1, 4, 0, 0, 0, 0}

const (
	sectionImport = 2
	sectionData   = 11
)

// withProgram returns the engine with a program in its last data segment.
func withProgram(engine, program []byte) ([]byte, error) {
	damaged := errors.New("the engine does not end with the segment of the program")
	if !bytes.HasSuffix(engine, emptyProgram) {
		return nil, damaged
	}
	for at := 8; at < len(engine); {
		size, n := binary.Uvarint(engine[at+1:])
		if n <= 0 || size > uint64(len(engine)-at-1-n) {
			return nil, damaged
		}
		contents := engine[at+1+n : at+1+n+int(size)]
		end := at + 1 + n + int(size)
		if end < len(engine) {
			at = end
			continue
		}
		if engine[at] != sectionData || !bytes.HasSuffix(contents, emptyProgram) {
			return nil, damaged
		}
		var segment []byte
		segment = append(segment, contents[:len(contents)-len(emptyProgram)]...)
		segment = append(segment, 1)
		segment = binary.AppendUvarint(segment, uint64(4+len(program)))
		segment = binary.LittleEndian.AppendUint32(segment, uint32(len(program)))
		segment = append(segment, program...)
		out := append([]byte(nil), engine[:at+1]...)
		out = binary.AppendUvarint(out, uint64(len(segment)))
		return append(out, segment...), nil
	}
	return nil, damaged
}
