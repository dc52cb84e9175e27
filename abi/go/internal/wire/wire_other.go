//go:build !wasip1

package wire

import "sync"

// Host is a test's implementation of the ABI's imports, by name, with their meaning
// in the ABI.
type Host interface {
	Next(buf []byte) int32
	Field(pointer string, buf []byte) int32
	Finish(status int32, text string) int32
	Emit(child string) int32
	Log(level int32, text string)
	Config(buf []byte) int32
	Secret(name string, buf []byte) int32
	KVGet(key string, buf []byte) int32
	KVSet(key string, value []byte) int32
	KVCAS(key string, old, value []byte) int32
	KVDelete(key string) int32
	KVList(prefix, after string, buf []byte) int32
	KVExpire(key string, seconds int32) int32
	Trace(buf []byte) int32
	HTTP(request string, buf []byte) int32
	Attempt() int32
	Remaining() int32
	Last(buf []byte) int32
	Error(buf []byte) int32
}

// A guest has one host for its process. A test process has one at a time: using is
// locked from Use until done is called.
var (
	using sync.Mutex
	host  Host
)

// Use makes h the host until done is called. It blocks while another host is in use,
// so tests that run in parallel use their hosts one after the other.
func Use(h Host) (done func()) {
	using.Lock()
	host = h
	return func() {
		host = nil
		using.Unlock()
	}
}

func current() Host {
	if host == nil {
		panic("berth: there is no host: build with GOOS=wasip1 GOARCH=wasm, or use package berthtest in a test")
	}
	return host
}

// The functions of the ABI.

func Next(buf []byte) int32                         { return current().Next(buf) }
func Field(pointer string, buf []byte) int32        { return current().Field(pointer, buf) }
func Finish(status int32, text string) int32        { return current().Finish(status, text) }
func Emit(child string) int32                       { return current().Emit(child) }
func Log(level int32, text string)                  { current().Log(level, text) }
func Config(buf []byte) int32                       { return current().Config(buf) }
func Secret(name string, buf []byte) int32          { return current().Secret(name, buf) }
func KVGet(key string, buf []byte) int32            { return current().KVGet(key, buf) }
func KVSet(key string, value []byte) int32          { return current().KVSet(key, value) }
func KVCAS(key string, old, value []byte) int32     { return current().KVCAS(key, old, value) }
func KVDelete(key string) int32                     { return current().KVDelete(key) }
func KVList(prefix, after string, buf []byte) int32 { return current().KVList(prefix, after, buf) }
func KVExpire(key string, seconds int32) int32      { return current().KVExpire(key, seconds) }
func Trace(buf []byte) int32                        { return current().Trace(buf) }
func HTTP(request string, buf []byte) int32         { return current().HTTP(request, buf) }
func Attempt() int32                                { return current().Attempt() }
func Remaining() int32                              { return current().Remaining() }
func Last(buf []byte) int32                         { return current().Last(buf) }
func Error(buf []byte) int32                        { return current().Error(buf) }
