package vet

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/meter"
	"github.com/berth-host/berth/host/sandbox/prescan"
)

// Report describes a module and, in Error, why it is refused. After a refusal it holds
// the findings up to that point.
type Report struct {
	SHA256        string          `json:"sha256"` // hex
	Size          int             `json:"size"`   // bytes
	Style         string          `json:"style,omitempty"`
	Entry         string          `json:"entry,omitempty"` // the export that is called
	Memory        Memory          `json:"memory"`
	Functions     int             `json:"functions"` // defined by the module
	Largest       []Measure       `json:"largest,omitempty"`
	Imports       []Extern        `json:"imports"`
	Exports       []Extern        `json:"exports"`            // the first maxExterns
	Unlisted      int             `json:"unlisted_exports"`   // number of further exports
	Manifest      json.RawMessage `json:"manifest,omitempty"` // of its section; a sidecar takes precedence
	ManifestError string          `json:"manifest_error,omitempty"`
	Fuel          *Fuel           `json:"fuel,omitempty"`
	Metered       string          `json:"metered_sha256,omitempty"` // of the module as it is compiled, hex
	Traceable     bool            `json:"traceable,omitempty"`      // it has debug information that source lines can be found by
	Error         *Refusal        `json:"error,omitempty"`
}

// Memory is the declared linear memory, in bytes. Max is 0 when none is declared.
type Memory struct {
	Min int64 `json:"min"`
	Max int64 `json:"max,omitempty"`
}

// Measure is the largest value of its kind in the module, with its limit.
type Measure struct {
	What  string `json:"what"`
	Value uint64 `json:"value"`
	Limit uint64 `json:"limit"`
	Unit  string `json:"unit,omitempty"` // "bytes", or "" for a count
}

// Extern is one import or export. Names are cut to maxName bytes.
type Extern struct {
	Module string `json:"module,omitempty"` // of an import
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	Type   string `json:"type,omitempty"` // of a func
}

const (
	maxExterns = 1000
	maxName    = 200
)

// Fuel describes how the module was metered.
type Fuel struct {
	Bytes     int   `json:"bytes"`      // size of the metered module
	Entries   int   `json:"entries"`    // function entries that charge
	Loops     int   `json:"loops"`      // loop heads that charge
	Bulk      int   `json:"bulk"`       // instructions charged by their length
	MaxCharge int64 `json:"max_charge"` // the largest constant charge, in fuel
}

// Kinds of refusal.
const (
	CodeLimit     = "limit"     // it exceeds a limit
	CodeFeature   = "feature"   // it uses an unsupported WebAssembly feature
	CodeMalformed = "malformed" // it is not a valid module
	CodeShape     = "shape"     // its imports and exports are not those of a guest
	CodeCPU       = "cpu"       // vetting took more CPU time than the limit
	CodeMemory    = "memory"    // vetting took more memory than the limit
	CodeCrash     = "crash"     // the compiler crashed
)

// Refusal is the verdict that a module is not loaded. It is in the chain of the
// fault.Invalid error that Vet returns.
type Refusal struct {
	Code   string `json:"code"`
	Reason string `json:"reason"` // the whole sentence, with limit and value
	// Limit names the exceeded limit, with the measured value in Measured and the limit
	// in Max; "" if the module is refused for another reason.
	Limit    string `json:"limit,omitempty"`
	Measured uint64 `json:"measured,omitempty"`
	Max      uint64 `json:"max,omitempty"`
	Unit     string `json:"unit,omitempty"` // "bytes", "ms", or "" for a count
}

// Error implements error.
func (r *Refusal) Error() string { return r.Reason }

// err returns nil if the module passed, otherwise fault.Invalid.
func (r *Report) err() error {
	if r.Error == nil {
		return nil
	}
	return fault.New(fault.Invalid, "%w", r.Error)
}

// scanned records the result of the pre-scan.
func (r *Report) scanned(s prescan.Report, limits prescan.Limits, err error) {
	const page = 64 << 10
	r.Functions = s.Functions
	r.Memory.Min = int64(s.MemoryMin) * page
	if s.HasMemoryMax {
		r.Memory.Max = int64(s.MemoryMax) * page
	}
	r.Largest = measures(s, limits.WithDefaults())
	r.Imports, r.Exports = make([]Extern, 0, len(s.Imports)), make([]Extern, 0, min(len(s.Exports), maxExterns))
	for _, i := range s.Imports[:min(len(s.Imports), maxExterns)] {
		r.Imports = append(r.Imports, extern(i.Module, i.Name, i.Kind, i.Type))
	}
	for _, e := range s.Exports[:min(len(s.Exports), maxExterns)] {
		r.Exports = append(r.Exports, extern("", e.Name, e.Kind, e.Type))
	}
	r.Unlisted = len(s.Exports) - len(r.Exports)
	if s.Manifest != nil {
		if _, bad := abi.ParseManifest(s.Manifest); bad != nil {
			r.ManifestError = bad.Error()
		} else {
			r.Manifest = s.Manifest
		}
	}
	var over *prescan.Error
	if !errors.As(err, &over) {
		return
	}
	r.Error = &Refusal{Code: CodeMalformed, Reason: over.Error(), Limit: over.Limit, Measured: over.Got, Max: over.Max}
	switch {
	case over.Limit != "":
		r.Error.Code = CodeLimit
		if inBytes(over.Limit) {
			r.Error.Unit = "bytes"
		}
	case over.Feature != "":
		r.Error.Code = CodeFeature
	}
}

// metered records the result of the rewriter.
func (r *Report) metered(m meter.Report, err error) {
	var wrong *meter.Error
	if errors.As(err, &wrong) {
		r.Error = &Refusal{Code: CodeMalformed, Reason: wrong.Error()}
		if wrong.Feature != "" {
			r.Error.Code = CodeFeature
		}
		return
	}
	r.Fuel = &Fuel{Bytes: m.BytesOut, Entries: m.Entries, Loops: m.Loops, Bulk: m.Bulk, MaxCharge: m.MaxCharge}
	r.Traceable = m.Traceable
}

func extern(module, name, kind string, t prescan.FuncType) Extern {
	e := Extern{Module: short(module), Name: short(name), Kind: kind}
	if kind == "func" {
		e.Type = t.String()
	}
	return e
}

// short truncates a name to maxName bytes.
func short(s string) string {
	if len(s) <= maxName {
		return s
	}
	return strings.ToValidUTF8(s[:maxName], "") + "..."
}

func measures(s prescan.Report, l prescan.Limits) []Measure {
	table := uint32(0)
	for _, t := range s.Tables {
		table = max(table, t)
	}
	var out []Measure
	for _, m := range []struct {
		what         string
		value, limit int
	}{
		{"module", s.Bytes, l.ModuleBytes},
		{"function body", s.LargestBody, l.BodyBytes},
		{"locals", s.MaxLocals, l.Locals},
		{"control constructs", s.MaxControls, l.Controls},
		{"loop nest", s.DeepestLoops, l.LoopNest},
		{"block nest", s.DeepestNest, l.BlockNest},
		{"br_table labels", s.LargestTable, l.BrTable},
		{"parameters or results", s.MaxParams, l.Params},
		{"types", s.Types, l.Types},
		{"functions", s.Functions, l.Functions},
		{"imports", len(s.Imports), l.Imports},
		{"exports", len(s.Exports), l.Exports},
		{"globals", s.Globals, l.Globals},
		{"table elements", int(table), l.TableElements},
		{"elements", s.Elements, l.Elements},
		{"data segments", s.DataSegments, l.DataSegments},
	} {
		unit := ""
		if inBytes(m.what) {
			unit = "bytes"
		}
		out = append(out, Measure{What: m.what, Value: uint64(m.value), Limit: uint64(m.limit), Unit: unit})
	}
	return out
}

// inBytes reports whether a limit of the pre-scan is a size in bytes.
func inBytes(what string) bool {
	switch what {
	case "module", "function body", "custom sections", "name":
		return true
	}
	return false
}

// Amount formats a value for people: 1.2 MiB, 20,000, 1.5s.
func Amount(n uint64, unit string) string {
	switch unit {
	case "ms":
		return strconv.FormatFloat(float64(n)/1000, 'g', 3, 64) + "s"
	case "bytes":
		switch {
		case n >= 1<<30:
			return fmt.Sprintf("%.4g GiB", float64(n)/(1<<30))
		case n >= 1<<20:
			return fmt.Sprintf("%.4g MiB", float64(n)/(1<<20))
		case n >= 1<<10:
			return fmt.Sprintf("%.4g KiB", float64(n)/(1<<10))
		}
		return strconv.FormatUint(n, 10) + " bytes"
	}
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
