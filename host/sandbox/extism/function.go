package extism

// ModuleName is the module of the functions.
const ModuleName = "extism:host/env"

// UserModule is the module of functions that an application adds for plugins of its own.
const UserModule = "extism:host/user"

// Function is one function of the module. Params and Results have an "i" for each i32 and
// an "I" for each i64.
type Function struct {
	Params, Results string
	// Call takes the arguments from stack and leaves the result there.
	Call func(k *Kernel, stack []uint64)
}

// Functions returns all functions by name.
func Functions() map[string]Function {
	return map[string]Function{
		"alloc":         {"I", "I", func(k *Kernel, s []uint64) { s[0] = k.alloc(s[0]) }},
		"free":          {"I", "", func(k *Kernel, s []uint64) { k.free(s[0]) }},
		"length":        {"I", "I", func(k *Kernel, s []uint64) { s[0] = k.length(s[0]) }},
		"length_unsafe": {"I", "I", func(k *Kernel, s []uint64) { s[0] = k.length(s[0]) }},
		"reset":         {"", "", func(k *Kernel, _ []uint64) { k.reset() }},
		"memory_bytes":  {"", "I", func(k *Kernel, s []uint64) { s[0] = k.end() }},

		"load_u8":   {"I", "i", func(k *Kernel, s []uint64) { s[0] = k.load(s[0], 1) }},
		"load_u64":  {"I", "I", func(k *Kernel, s []uint64) { s[0] = k.load(s[0], 8) }},
		"store_u8":  {"Ii", "", func(k *Kernel, s []uint64) { k.store(s[0], 1, s[1]) }},
		"store_u64": {"II", "", func(k *Kernel, s []uint64) { k.store(s[0], 8, s[1]) }},

		"input_set":      {"II", "", func(k *Kernel, s []uint64) { k.setInput(s[0], s[1]) }},
		"input_offset":   {"", "I", func(k *Kernel, s []uint64) { s[0] = k.input.offset }},
		"input_length":   {"", "I", func(k *Kernel, s []uint64) { s[0] = k.input.length }},
		"input_load_u8":  {"I", "i", func(k *Kernel, s []uint64) { s[0] = k.loadInput(s[0], 1) }},
		"input_load_u64": {"I", "I", func(k *Kernel, s []uint64) { s[0] = k.loadInput(s[0], 8) }},

		"output_set":    {"II", "", func(k *Kernel, s []uint64) { k.setOutput(s[0], s[1]) }},
		"output_offset": {"", "I", func(k *Kernel, s []uint64) { s[0] = k.output.offset }},
		"output_length": {"", "I", func(k *Kernel, s []uint64) { s[0] = k.output.length }},
		"error_set":     {"I", "", func(k *Kernel, s []uint64) { k.setError(s[0]) }},
		"error_get":     {"", "I", func(k *Kernel, s []uint64) { s[0] = k.failure.offset }},

		"config_get": {"I", "I", configGet},
		"var_get":    {"I", "I", varGet},
		"var_set":    {"II", "", varSet},

		"http_request":     {"II", "I", httpRequest},
		"http_status_code": {"", "i", func(k *Kernel, s []uint64) { s[0] = uint64(uint32(k.response.status)) }},
		"http_headers":     {"", "I", httpHeaders},

		"log_trace":     {"I", "", logAt(Debug)},
		"log_debug":     {"I", "", logAt(Debug)},
		"log_info":      {"I", "", logAt(Info)},
		"log_warn":      {"I", "", logAt(Warn)},
		"log_error":     {"I", "", logAt(Error)},
		"get_log_level": {"", "i", func(_ *Kernel, s []uint64) { s[0] = uint64(Debug) }},
	}
}

// Level is the level of a log line, as get_log_level numbers them; 0 is trace.
type Level int

// The levels that the host distinguishes: trace is logged as debug.
const (
	Debug Level = iota + 1
	Info
	Warn
	Error
)

// logAt returns the function that logs a block: (block).
func logAt(level Level) func(*Kernel, []uint64) {
	return func(k *Kernel, s []uint64) {
		text := k.block("log", s[0])
		k.host.Log(level, text)
	}
}

// configGet yields a value of the configuration, or 0: (key) -> block.
func configGet(k *Kernel, s []uint64) {
	key := k.block("config_get", s[0])
	if value, found := k.host.Config(string(key)); found {
		s[0] = k.yield(value)
		return
	}
	s[0] = 0
}

// varGet yields a variable, or 0: (key) -> block.
func varGet(k *Kernel, s []uint64) {
	key := k.block("var_get", s[0])
	if value, found := k.host.Var(string(key)); found {
		s[0] = k.yield(string(value))
		return
	}
	s[0] = 0
}

// varSet sets a variable, or removes it if the block of the value is 0: (key, value).
func varSet(k *Kernel, s []uint64) {
	key := k.block("var_set", s[0])
	if s[1] == 0 {
		k.host.RemoveVar(string(key))
		return
	}
	k.host.SetVar(string(key), k.block("var_set", s[1]))
}
