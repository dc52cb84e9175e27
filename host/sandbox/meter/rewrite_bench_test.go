package meter

import "testing"

// BenchmarkRewrite rewrites the largest of the guests, 3 MB of Go.
func BenchmarkRewrite(b *testing.B) {
	wasm := goJSON(b)
	b.SetBytes(int64(len(wasm)))
	for b.Loop() {
		mustRewrite(b, wasm)
	}
}
