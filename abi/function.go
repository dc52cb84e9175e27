package abi

// Names that are part of the contract.
const (
	ModuleName      = "berth_v1"               // module of the imports; its number is the ABI's version
	WASIModuleName  = "wasi_snapshot_preview1" // the only other module to import from, besides env.abort
	EnvModuleName   = "env"                    // only with AbortFunction, for AssemblyScript
	AbortFunction   = "abort"
	ManifestSection = "berth.manifest" // custom section that holds the manifest
	ManifestSuffix  = ".json"          // appended to a module's file name: the manifest beside it

	MemoryExport     = "memory"
	StartExport      = "_start"
	RunExport        = "run"
	InitializeExport = "_initialize"

	// Of the Extism style.
	ExtismEntry       = "handle" // the entry, unless the manifest names another
	CtorsExport       = "__wasm_call_ctors"
	HaskellInitExport = "hs_init"
)

// Names of the functions in ModuleName.
const (
	FuncNext      = "next"
	FuncField     = "field"
	FuncFinish    = "finish"
	FuncEmit      = "emit"
	FuncLog       = "log"
	FuncConfig    = "config"
	FuncSecret    = "secret"
	FuncKVGet     = "kv_get"
	FuncKVSet     = "kv_set"
	FuncKVCAS     = "kv_cas"
	FuncKVDelete  = "kv_delete"
	FuncKVList    = "kv_list"
	FuncKVExpire  = "kv_expire"
	FuncHTTP      = "http"
	FuncAttempt   = "attempt"
	FuncRemaining = "remaining"
	FuncTrace     = "trace"
	FuncLast      = "last"
	FuncError     = "error"
)

// Function is one import of ModuleName. All its parameters and results are
// of WebAssembly's type i32, so counts are the whole signature.
type Function struct {
	Name    string
	Params  int
	Results int // 0 or 1
	// Yields: the last two parameters are a buffer and its capacity, and the result
	// is the length of the content, also of content that did not fit.
	Yields bool
	// Capability must be granted, or is "" for a function that is always allowed.
	// Without the grant the function returns Denied.
	Capability string
}

// Functions returns the imports of ABI version 1, in the order of ABI.md.
// The slice belongs to the caller.
func Functions() []Function {
	return []Function{
		{Name: FuncNext, Params: 2, Results: 1, Yields: true},
		{Name: FuncField, Params: 4, Results: 1, Yields: true},
		{Name: FuncFinish, Params: 3, Results: 1},
		{Name: FuncEmit, Params: 2, Results: 1, Capability: CapabilityEmit},
		{Name: FuncLog, Params: 3, Results: 0},
		{Name: FuncConfig, Params: 2, Results: 1, Yields: true},
		{Name: FuncSecret, Params: 4, Results: 1, Yields: true, Capability: CapabilitySecret},
		{Name: FuncKVGet, Params: 4, Results: 1, Yields: true, Capability: CapabilityKV},
		{Name: FuncKVSet, Params: 4, Results: 1, Capability: CapabilityKV},
		{Name: FuncKVCAS, Params: 6, Results: 1, Capability: CapabilityKV},
		{Name: FuncKVDelete, Params: 2, Results: 1, Capability: CapabilityKV},
		{Name: FuncKVList, Params: 6, Results: 1, Yields: true, Capability: CapabilityKV},
		{Name: FuncKVExpire, Params: 3, Results: 1, Capability: CapabilityKV},
		{Name: FuncHTTP, Params: 4, Results: 1, Yields: true, Capability: CapabilityHTTP},
		{Name: FuncAttempt, Params: 0, Results: 1},
		{Name: FuncRemaining, Params: 0, Results: 1},
		{Name: FuncTrace, Params: 2, Results: 1, Yields: true},
		{Name: FuncLast, Params: 2, Results: 1, Yields: true},
		{Name: FuncError, Params: 2, Results: 1, Yields: true},
	}
}
