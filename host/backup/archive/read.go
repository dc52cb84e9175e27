package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Sink receives the files of an archive.
type Sink interface {
	// Begin receives the manifest before any file. Its error ends Read.
	Begin(m Manifest) error
	// Create returns the writer of a file's content. Read calls Close after the content,
	// also when the content is damaged.
	Create(f File) (io.WriteCloser, error)
}

// Discard is a Sink for callers that only want to know whether an archive is intact.
type Discard struct{}

// Begin implements Sink.
func (Discard) Begin(Manifest) error { return nil }

// Create implements Sink.
func (Discard) Create(File) (io.WriteCloser, error) { return nopCloser{io.Discard}, nil }

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// Read reads an archive to its end, gives its files to a sink and returns its manifest. It
// uses bounded memory, and writes no more to the sink than the archive has bytes. When it
// returns nil, every byte is as Write has written it. After an error, files that the sink
// has received may be incomplete or altered. fault.Invalid: the archive is damaged,
// incomplete, of a newer format, or no backup. Errors of from and of the sink are returned
// as they are.
func Read(from io.Reader, to Sink) (m Manifest, err error) {
	r := &reader{from: from, buf: make([]byte, buffer)}
	if m, err = r.manifest(); err != nil {
		return m, err
	}
	if err := to.Begin(m); err != nil {
		return m, err
	}
	for _, f := range m.Files {
		if err := r.file(f, m.CreatedAt, to); err != nil {
			return m, err
		}
	}
	if err := r.zeros(endSize); err != nil {
		return m, err
	}
	n, err := io.ReadFull(r.from, r.buf[:1])
	if n > 0 {
		return m, damaged("there are bytes after its end")
	}
	if !errors.Is(err, io.EOF) {
		return m, err
	}
	return m, nil
}

type reader struct {
	from io.Reader
	buf  []byte
}

// full fills p.
func (r *reader) full(p []byte) error {
	_, err := io.ReadFull(r.from, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged("it ends early: it was not copied completely")
	}
	return err
}

// manifest reads the first two entries.
func (r *reader) manifest() (m Manifest, err error) {
	var h [blockSize]byte
	if err := r.full(h[:]); err != nil {
		return m, err
	}
	name, _, _ := bytes.Cut(h[:MaxName], []byte{0})
	size, err := strconv.ParseInt(string(h[sizeAt:sizeAt+11]), 8, 64)
	if string(name) != manifestName || err != nil || size < 0 || size > MaxManifest {
		return m, damaged("it does not begin with a manifest")
	}
	var text []byte
	for int64(len(text)) < size { // no more memory than the archive has bytes
		part := r.buf[:min(int64(len(r.buf)), size-int64(len(text)))]
		if err := r.full(part); err != nil {
			return m, err
		}
		text = append(text, part...)
	}
	if err := r.zeros(padding(size)); err != nil {
		return m, err
	}
	line := digestLine(text)
	entry := make([]byte, entrySize(int64(len(line))))
	if err := r.full(entry); err != nil {
		return m, err
	}
	content := append(line, make([]byte, padding(int64(len(line))))...)
	if !bytes.Equal(entry[blockSize:], content) {
		return m, damaged("the manifest does not have its digest")
	}
	if m, err = decode(text); err != nil {
		return m, err
	}
	if h != header(manifestName, size, m.CreatedAt) || [blockSize]byte(entry[:blockSize]) != header(digestName, int64(len(line)), m.CreatedAt) {
		return m, damaged("the header of the manifest is not valid")
	}
	return m, nil
}

// file reads one file.
func (r *reader) file(f File, at time.Time, to Sink) (err error) {
	var h [blockSize]byte
	if err := r.full(h[:]); err != nil {
		return err
	}
	if h != header(f.Name, f.Size, at) {
		return damaged("the header of %s is not valid", f.Name)
	}
	w, err := to.Create(f)
	if err != nil {
		return err
	}
	err = r.content(f, w)
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	return r.zeros(padding(f.Size))
}

func (r *reader) content(f File, w io.Writer) error {
	hash := sha256.New()
	for left := f.Size; left > 0; {
		part := r.buf[:min(int64(len(r.buf)), left)]
		if err := r.full(part); err != nil {
			return err
		}
		hash.Write(part)
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("write %s: %w", f.Name, err)
		}
		left -= int64(len(part))
	}
	if hex.EncodeToString(hash.Sum(nil)) != f.SHA256 {
		return damaged("the content of %s does not have the digest of the manifest", f.Name)
	}
	return nil
}

// zeros reads n bytes that must be zero.
func (r *reader) zeros(n int64) error {
	part := r.buf[:n]
	if err := r.full(part); err != nil {
		return err
	}
	for _, b := range part {
		if b != 0 {
			return damaged("a byte between its files is not zero")
		}
	}
	return nil
}
