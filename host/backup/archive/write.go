package archive

import (
	"io"
	"time"

	"github.com/berth-host/berth/host/fault"
)

const buffer = 64 << 10 // bytes

// Writer writes an archive.
type Writer struct {
	m       Manifest
	encoded []byte
}

// NewWriter returns a writer of the archive with this manifest. fault.Invalid: the manifest
// breaks a rule of the format.
func NewWriter(m Manifest) (*Writer, error) {
	encoded, err := m.encode()
	if err != nil {
		return nil, err
	}
	return &Writer{m, encoded}, nil
}

// Size returns the size of the archive in bytes.
func (w *Writer) Size() int64 { return w.m.size(int64(len(w.encoded))) }

// Write writes the archive. open opens a file of the manifest, whose content must have the
// size that the manifest has; Write closes it. Write does not check digests.
func (w *Writer) Write(to io.Writer, open func(name string) (io.ReadCloser, error)) error {
	at := w.m.CreatedAt
	if err := writeEntry(to, manifestName, w.encoded, at); err != nil {
		return err
	}
	if err := writeEntry(to, digestName, digestLine(w.encoded), at); err != nil {
		return err
	}
	buf := make([]byte, buffer)
	for _, f := range w.m.Files {
		if err := writeFile(to, f, at, open, buf); err != nil {
			return err
		}
	}
	return writeZeros(to, endSize)
}

func writeEntry(to io.Writer, name string, content []byte, at time.Time) error {
	h := header(name, int64(len(content)), at)
	if _, err := to.Write(h[:]); err != nil {
		return err
	}
	if _, err := to.Write(content); err != nil {
		return err
	}
	return writeZeros(to, padding(int64(len(content))))
}

func writeFile(to io.Writer, f File, at time.Time, open func(name string) (io.ReadCloser, error), buf []byte) error {
	from, err := open(f.Name)
	if err != nil {
		return err
	}
	defer from.Close()
	h := header(f.Name, f.Size, at)
	if _, err := to.Write(h[:]); err != nil {
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{io.LimitReader(from, f.Size)}, buf)
	if err == nil && n < f.Size {
		err = fault.New(fault.Internal, "the file %s has %d bytes, and %d in the manifest", f.Name, n, f.Size)
	}
	if err != nil {
		return err
	}
	return writeZeros(to, padding(f.Size))
}

func writeZeros(to io.Writer, n int64) error {
	var zeros [endSize]byte
	_, err := to.Write(zeros[:n])
	return err
}
