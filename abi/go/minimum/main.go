//go:build wasip1

// Minimum is what typical is without the SDK: the same three fields and answer, with fixed
// buffers and the ABI's imports.
package main

import (
	"strconv"
	"unsafe"
)

//go:wasmimport berth_v1 next
//go:noescape
func next(buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport berth_v1 field
//go:noescape
func field(p unsafe.Pointer, n uint32, buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport berth_v1 finish
//go:noescape
func finish(status int32, p unsafe.Pointer, n uint32) int32

var envelope, value [4096]byte

// read returns a field of at most 4096 bytes.
func read(pointer string) []byte {
	n := field(unsafe.Pointer(unsafe.StringData(pointer)), uint32(len(pointer)), unsafe.Pointer(&value), uint32(len(value)))
	if n < 0 || int(n) > len(value) {
		return nil
	}
	return value[:n]
}

func main() {
	answer := make([]byte, 0, 256)
	for next(unsafe.Pointer(&envelope), uint32(len(envelope))) >= 0 {
		answer = appendText(append(answer[:0], `{"order":`...), read("/data/order_id"))
		answer = appendText(append(answer, `,"status":`...), read("/data/status"))
		cents, _ := strconv.ParseInt(string(read("/data/total_cents")), 10, 64)
		answer = append(strconv.AppendInt(append(answer, `,"cents":`...), cents, 10), '}')
		finish(0, unsafe.Pointer(unsafe.SliceData(answer)), uint32(len(answer)))
	}
}

// appendText appends a text as JSON.
func appendText(buf, text []byte) []byte {
	buf = append(buf, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			buf = append(buf, '\\', c)
		case c < ' ':
			buf = append(buf, `\u00`...)
			buf = append(buf, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		default:
			buf = append(buf, c)
		}
	}
	return append(buf, '"')
}
