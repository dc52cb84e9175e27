package main

import (
	"bytes"
	"fmt"

	"github.com/berth-host/berth/host/sandbox/wasmbin"
)

// instr is one instruction as one decoder has read it.
type instr struct {
	at   int    // offset in the module
	name string // as in the text format; "" if the decoder has none
	args string // wabt's text of the immediates
	op   wasmbin.Op
}

// function is the code of one function, without its locals.
type function struct {
	index  int // imports counted
	instrs []instr
	end    int // offset behind the code
}

// listing is a module's code as one decoder has read it.
type listing []function

// decode lists a module's code as wasmbin reads it. With canonical, an instruction that
// is not encoded as wasmbin encodes it is an error.
func decode(wasm []byte, canonical bool) (listing, error) {
	sections, err := wasmbin.NewSections(wasm)
	if err != nil {
		return nil, err
	}
	imports := 0
	for {
		id, r, ok, err := sections.Next()
		if err != nil || !ok {
			return nil, err
		}
		switch id {
		case wasmbin.SectionImport:
			if imports, err = importedFunctions(&r); err != nil {
				return nil, err
			}
		case wasmbin.SectionCode:
			return decodeCode(&r, imports, canonical)
		}
	}
}

func importedFunctions(r *wasmbin.Reader) (functions int, err error) {
	n, err := r.U32()
	for range n {
		for range 2 {
			if _, err := r.Name(); err != nil {
				return 0, err
			}
		}
		kind, err := r.Kind()
		if err != nil {
			return 0, err
		}
		switch kind {
		case wasmbin.KindFunc:
			functions++
			_, err = r.U32()
		case wasmbin.KindTable:
			_, _, err = r.Table()
		case wasmbin.KindMemory:
			_, err = r.Limits()
		case wasmbin.KindGlobal:
			_, _, err = r.Global()
		}
		if err != nil {
			return 0, err
		}
	}
	return functions, err
}

func decodeCode(r *wasmbin.Reader, imports int, canonical bool) (l listing, err error) {
	n, err := r.U32()
	if err != nil {
		return nil, err
	}
	for i := range int(n) {
		size, err := r.U32()
		if err != nil {
			return nil, err
		}
		body, err := r.Sub(size)
		if err != nil {
			return nil, err
		}
		if _, err := body.Locals(nil); err != nil {
			return nil, err
		}
		f := function{index: imports + i}
		for body.Left() > 0 {
			var in wasmbin.Instr
			if err := body.Instr(&in); err != nil {
				return nil, err
			}
			f.instrs = append(f.instrs, instr{at: in.At, op: in.Op})
			if canonical {
				got, want := body.Slice(in.At, body.Pos()), wasmbin.AppendInstr(nil, &in)
				if !bytes.Equal(got, want) {
					return nil, fmt.Errorf("function %d, byte %d: %x is not encoded canonically, which is %x", f.index, in.At, got, want)
				}
			}
		}
		f.end = body.Pos()
		l = append(l, f)
	}
	return l, nil
}
