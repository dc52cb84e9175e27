package toolchain

import (
	"bytes"
	"cmp"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/berth-host/berth/abi"
)

// variables are the sections of DWARF that only a debugger reads: where variables are, and
// indexes. Lines and functions need the others.
func variables(section string) bool {
	switch section {
	case ".debug_loc", ".debug_loclists", ".debug_pubnames", ".debug_pubtypes", ".debug_aranges", ".debug_macro":
		return true
	}
	return false
}

// trimDebug removes from a module's file the debug information that is not about lines, and
// replaces directories in what remains: names is by directory, absolute, what it is called
// in the module.
func trimDebug(file string, names map[string]string) error {
	wasm, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if wasm, err = abi.RemoveSections(wasm, variables); err != nil {
		return err
	}
	for _, section := range []string{".debug_str", ".debug_line", ".debug_line_str"} {
		contents, _, err := abi.FindSection(wasm, section)
		if err != nil {
			return err
		}
		for _, dir := range slices.SortedFunc(maps.Keys(names), longestFirst) { // one may be in another
			renameDirectory(contents, dir, names[dir])
		}
	}
	return os.WriteFile(file, wasm, 0o644)
}

func longestFirst(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) }

// renameDirectory replaces a directory in paths, in place and so by a name of the same
// length: "zig" becomes "zig////////", which reads as the shorter one. A name that is longer
// than the directory is cut.
func renameDirectory(text []byte, dir, name string) {
	filler := name + strings.Repeat("/", max(0, len(dir)-len(name)))
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte(dir))
		if i < 0 {
			return
		}
		at += i
		// Only whole elements of a path, at the start of one.
		if end := at + len(dir); (end == len(text) || text[end] == '/' || text[end] == 0) && (at == 0 || text[at-1] < ' ') {
			copy(text[at:end], filler)
		}
		at += len(dir)
	}
}
