package prescan

import "github.com/berth-host/berth/host/sandbox/wasmbin"

// body scans one function's locals and code.
func (s *scan) body(r *wasmbin.Reader) error {
	at := r.Pos()
	n, err := r.U32()
	if err != nil {
		return err
	}
	s.function = s.importFuncs + s.bodies
	s.bodies++
	if err := s.overBytes(at, "function body", uint64(n), s.limits.BodyBytes); err != nil {
		return err
	}
	code, err := r.Sub(n)
	if err != nil {
		return err
	}
	s.report.CodeBytes += int(n)
	s.report.LargestBody = max(s.report.LargestBody, int(n))
	at = code.Pos()
	locals, err := code.Locals(nil)
	if err != nil {
		return err
	}
	if err := s.over(at, "locals", uint64(locals), s.limits.Locals); err != nil {
		return err
	}
	s.report.MaxLocals = max(s.report.MaxLocals, int(locals))
	if err := s.code(&code); err != nil {
		return err
	}
	s.function = -1
	return nil
}

// code scans the instructions of one function. The function's own block is not
// counted as a control construct or as nesting.
func (s *scan) code(r *wasmbin.Reader) error {
	s.loops = append(s.loops[:0], false)
	controls, loops := 0, 0
	var in wasmbin.Instr
	for len(s.loops) > 0 {
		if err := r.Instr(&in); err != nil {
			return err
		}
		switch in.Op {
		case wasmbin.OpBlock, wasmbin.OpLoop, wasmbin.OpIf:
			if in.HasType && uint64(in.Index) >= uint64(len(s.types)) {
				return s.refuse(in.At, "unknown type index")
			}
			controls++
			if err := s.over(in.At, "control constructs", uint64(controls), s.limits.Controls); err != nil {
				return err
			}
			if err := s.over(in.At, "block nest", uint64(len(s.loops)), s.limits.BlockNest); err != nil {
				return err
			}
			s.report.DeepestNest = max(s.report.DeepestNest, len(s.loops))
			s.loops = append(s.loops, in.Op == wasmbin.OpLoop)
			if in.Op == wasmbin.OpLoop {
				loops++
				if err := s.over(in.At, "loop nest", uint64(loops), s.limits.LoopNest); err != nil {
					return err
				}
				s.report.DeepestLoops = max(s.report.DeepestLoops, loops)
			}
		case wasmbin.OpEnd:
			if s.loops[len(s.loops)-1] {
				loops--
			}
			s.loops = s.loops[:len(s.loops)-1]
		case wasmbin.OpBrTable:
			if err := s.over(in.At, "br_table labels", uint64(in.Count), s.limits.BrTable); err != nil {
				return err
			}
			s.report.LargestTable = max(s.report.LargestTable, int(in.Count))
		case wasmbin.OpCall, wasmbin.OpRefFunc:
			if uint64(in.Index) >= uint64(len(s.funcs)) {
				return s.refuse(in.At, "unknown function index")
			}
		case wasmbin.OpCallIndirect:
			if uint64(in.Index) >= uint64(len(s.types)) {
				return s.refuse(in.At, "unknown type index")
			}
		case wasmbin.OpTableGrow:
			e := s.refuse(in.At, "table.grow is not supported: declare the table as large as it must be")
			e.Feature = "table.grow"
			return e
		}
	}
	s.report.MaxControls = max(s.report.MaxControls, controls)
	return r.Done("the function body")
}

// element scans one element segment, in any of its eight encodings.
func (s *scan) element(r *wasmbin.Reader) error {
	at := r.Pos()
	flags, err := r.U32()
	if err != nil {
		return err
	}
	if flags > 7 {
		return s.refuse(at, "unknown kind of element segment")
	}
	const passiveOrDeclared, explicit, expressions = 1, 2, 4
	if flags&passiveOrDeclared == 0 {
		if flags&explicit != 0 {
			if _, err := r.U32(); err != nil { // table
				return err
			}
		}
		if err := r.ConstExpr(); err != nil {
			return err
		}
	}
	if flags&(passiveOrDeclared|explicit) != 0 {
		if _, err := r.Byte(); err != nil { // kind or reference type
			return err
		}
	}
	at = r.Pos()
	n, err := r.Count("elements", 1)
	if err != nil {
		return err
	}
	s.report.Elements += int(n)
	if err := s.over(at, "elements", uint64(s.report.Elements), s.limits.Elements); err != nil {
		return err
	}
	for range n {
		if flags&expressions != 0 {
			err = r.ConstExpr()
		} else {
			at := r.Pos()
			var fn uint32
			if fn, err = r.U32(); err == nil && uint64(fn) >= uint64(len(s.funcs)) {
				err = s.refuse(at, "unknown function index")
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// data scans one data segment.
func (s *scan) data(r *wasmbin.Reader) error {
	at := r.Pos()
	flags, err := r.U32()
	switch {
	case err != nil:
		return err
	case flags > 2:
		return s.refuse(at, "unknown kind of data segment")
	case flags == 2:
		if i, err := r.U32(); err != nil {
			return err
		} else if i != 0 {
			return wasmbin.Unsupported(at, "multiple memories")
		}
	}
	if flags != 1 {
		if err := r.ConstExpr(); err != nil {
			return err
		}
	}
	n, err := r.Count("bytes of data", 1)
	if err != nil {
		return err
	}
	s.report.DataSegments++
	s.report.DataBytes += int(n)
	return r.Skip(int(n))
}
