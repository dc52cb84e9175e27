//go:build wasip1

package wire

import "unsafe"

//go:wasmimport berth_v1 next
//go:noescape
func next(buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport berth_v1 field
//go:noescape
func field(p unsafe.Pointer, n uint32, buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport berth_v1 finish
//go:noescape
func finish(status int32, p unsafe.Pointer, n uint32) int32

//go:wasmimport berth_v1 emit
//go:noescape
func emit(p unsafe.Pointer, n uint32) int32

//go:wasmimport berth_v1 log
//go:noescape
func log(level int32, p unsafe.Pointer, n uint32)

//go:wasmimport berth_v1 config
//go:noescape
func config(buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport berth_v1 secret
//go:noescape
func secret(p unsafe.Pointer, n uint32, buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport berth_v1 kv_get
//go:noescape
func kvGet(key unsafe.Pointer, keyLen uint32, buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport berth_v1 kv_set
//go:noescape
func kvSet(key unsafe.Pointer, keyLen uint32, val unsafe.Pointer, valLen uint32) int32

//go:wasmimport berth_v1 kv_cas
//go:noescape
func kvCAS(key unsafe.Pointer, keyLen uint32, old unsafe.Pointer, oldLen int32, val unsafe.Pointer, valLen uint32) int32

//go:wasmimport berth_v1 kv_delete
//go:noescape
func kvDelete(key unsafe.Pointer, keyLen uint32) int32

//go:wasmimport berth_v1 kv_list
//go:noescape
func kvList(prefix unsafe.Pointer, prefixLen uint32, after unsafe.Pointer, afterLen uint32, buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport berth_v1 kv_expire
//go:noescape
func kvExpire(key unsafe.Pointer, keyLen uint32, seconds int32) int32

//go:wasmimport berth_v1 trace
//go:noescape
func trace(buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport berth_v1 http
//go:noescape
func http(p unsafe.Pointer, n uint32, buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport berth_v1 attempt
func attempt() int32

//go:wasmimport berth_v1 remaining
func remaining() int32

//go:wasmimport berth_v1 last
//go:noescape
func last(buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport berth_v1 error
//go:noescape
func lastError(buf unsafe.Pointer, capacity uint32) int32

func str(s string) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.StringData(s)), uint32(len(s))
}

func buffer(b []byte) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b))
}

// Next is next.
func Next(buf []byte) int32 {
	b, c := buffer(buf)
	return next(b, c)
}

// Field is field.
func Field(pointer string, buf []byte) int32 {
	p, n := str(pointer)
	b, c := buffer(buf)
	return field(p, n, b, c)
}

// Finish is finish.
func Finish(status int32, text string) int32 {
	p, n := str(text)
	return finish(status, p, n)
}

// Emit is emit.
func Emit(child string) int32 {
	p, n := str(child)
	return emit(p, n)
}

// Log is log.
func Log(level int32, text string) {
	p, n := str(text)
	log(level, p, n)
}

// Config is config.
func Config(buf []byte) int32 {
	b, c := buffer(buf)
	return config(b, c)
}

// Secret is secret.
func Secret(name string, buf []byte) int32 {
	p, n := str(name)
	b, c := buffer(buf)
	return secret(p, n, b, c)
}

// KVGet is kv_get.
func KVGet(key string, buf []byte) int32 {
	p, n := str(key)
	b, c := buffer(buf)
	return kvGet(p, n, b, c)
}

// KVSet is kv_set.
func KVSet(key string, value []byte) int32 {
	p, n := str(key)
	v, vn := buffer(value)
	return kvSet(p, n, v, vn)
}

// KVCAS is kv_cas. A nil old means: only if there is none.
func KVCAS(key string, old, value []byte) int32 {
	p, n := str(key)
	o, on := buffer(old)
	oldLen := int32(on)
	if old == nil {
		oldLen = -1
	}
	v, vn := buffer(value)
	return kvCAS(p, n, o, oldLen, v, vn)
}

// KVDelete is kv_delete.
func KVDelete(key string) int32 {
	p, n := str(key)
	return kvDelete(p, n)
}

// KVList is kv_list.
func KVList(prefix, after string, buf []byte) int32 {
	p, n := str(prefix)
	a, an := str(after)
	b, c := buffer(buf)
	return kvList(p, n, a, an, b, c)
}

// KVExpire is kv_expire.
func KVExpire(key string, seconds int32) int32 {
	p, n := str(key)
	return kvExpire(p, n, seconds)
}

// Trace is trace.
func Trace(buf []byte) int32 {
	b, c := buffer(buf)
	return trace(b, c)
}

// HTTP is http.
func HTTP(request string, buf []byte) int32 {
	p, n := str(request)
	b, c := buffer(buf)
	return http(p, n, b, c)
}

// Attempt is attempt.
func Attempt() int32 { return attempt() }

// Remaining is remaining.
func Remaining() int32 { return remaining() }

// Last is last.
func Last(buf []byte) int32 {
	b, c := buffer(buf)
	return last(b, c)
}

// Error is error.
func Error(buf []byte) int32 {
	b, c := buffer(buf)
	return lastError(b, c)
}
