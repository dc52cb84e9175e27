package vet

import (
	"bufio"
	"io"
	"reflect"

	"github.com/tetratelabs/wazero"
)

// codeCache is the interface by which the engine reads its cache on disk.
type codeCache interface {
	Get(key [32]byte) (content io.ReadCloser, ok bool, err error)
	Add(key [32]byte, content io.Reader) error
	Delete(key [32]byte) error
}

// blocks is a codeCache that is read in blocks. The engine asks for eight bytes at a time,
// twice for each code offset of a traceable module: each would be a call of the operating
// system, and a module of Rust took nine times as long to load.
type blocks struct{ codeCache }

const blockSize = 64 << 10

// Get implements codeCache.
func (b *blocks) Get(key [32]byte) (io.ReadCloser, bool, error) {
	content, ok, err := b.codeCache.Get(key)
	if !ok || err != nil {
		return content, ok, err
	}
	return &blockReader{bufio.NewReaderSize(content, blockSize), content}, true, nil
}

// blockReader reads as many bytes as are asked for, unless the content ends.
type blockReader struct {
	buffer  *bufio.Reader
	content io.ReadCloser
}

// Read implements io.Reader.
func (r *blockReader) Read(p []byte) (int, error) { return io.ReadFull(r.buffer, p) }

// Close implements io.Closer.
func (r *blockReader) Close() error { return r.content.Close() }

// readInBlocks makes the engine read a cache in blocks. The engine has no option for that, so
// its field is set; where it has another form, the cache stays as it is, and ok is false.
func readInBlocks(cache wazero.CompilationCache) (ok bool) {
	v := reflect.ValueOf(cache)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return false
	}
	field := v.Elem().FieldByName("fileCache")
	if field.Kind() != reflect.Interface || !reflect.TypeFor[*blocks]().Implements(field.Type()) {
		return false
	}
	field = reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem() // it is not exported
	disk, ok := field.Interface().(codeCache)
	if ok {
		field.Set(reflect.ValueOf(&blocks{disk}))
	}
	return ok
}
