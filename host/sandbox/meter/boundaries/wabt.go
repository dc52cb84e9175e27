package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// wabt disassembles with wasm-objdump, which shares no code with wasmbin or the engine.
type wabt struct {
	command string // wasm-objdump
	dir     string // a directory for one module at a time
}

// errRefused says that a decoder refuses a module.
var errRefused = errors.New("refused")

// disassemble lists a module's code. The error is errRefused, wrapped with wabt's
// message, when wabt refuses it.
func (w wabt) disassemble(ctx context.Context, wasm []byte) (listing, error) {
	path := filepath.Join(w.dir, "module.wasm")
	if err := os.WriteFile(path, wasm, 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.command, "-d", path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 || err == nil && stderr.Len() > 0 {
		return nil, fmt.Errorf("%w: %s", errRefused, strings.TrimSpace(stderr.String()))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.command, err)
	}
	return parseDisassembly(out)
}

// parseDisassembly reads what wasm-objdump -d prints:
//
//	000040 func[0] <f>:
//	 000041: 02 7e                      | local[1..2] type=i64
//	 000045: 41 01                      |   i32.const 1
//	 00006c: fd 0c 01 00 00 00 02 00 00 |   v128.const 0x00000001 ...
//	 000075: 00 03 00 00 00 04 00 00 00 |
func parseDisassembly(text []byte) (l listing, err error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		line := lines.Text()
		if head, label, ok := strings.Cut(line, " func["); ok && !strings.HasPrefix(line, " ") {
			number, _, _ := strings.Cut(label, "]")
			index, err := strconv.Atoi(number)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
			if _, err := strconv.ParseInt(head, 16, 64); err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
			l = append(l, function{index: index})
			continue
		}
		offset, columns, ok := strings.Cut(line, ": ")
		code, text, isCode := strings.Cut(columns, "|")
		if !ok || !isCode || !strings.HasPrefix(line, " ") || len(l) == 0 {
			continue
		}
		at, err := strconv.ParseInt(strings.TrimSpace(offset), 16, 64)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		f := &l[len(l)-1]
		f.end = int(at) + len(strings.Fields(code))
		name, args, _ := strings.Cut(strings.TrimSpace(text), " ")
		if name == "" || strings.HasPrefix(name, "local[") { // the bytes go on, or locals
			continue
		}
		args, _, _ = strings.Cut(args, " <") // the name of the indexed item
		f.instrs = append(f.instrs, instr{at: int(at), name: name, args: args})
	}
	return l, lines.Err()
}
