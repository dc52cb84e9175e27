package archive_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/berth-host/berth/host/backup/archive"
)

// An archive with one altered byte is refused.
func ExampleRead() {
	w, err := archive.NewWriter(archive.Manifest{Format: archive.Format, CreatedAt: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC), Files: []archive.File{
		{Name: "berth.db", Size: 2, SHA256: "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	var file bytes.Buffer
	if err := w.Write(&file, func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("hi")), nil }); err != nil {
		fmt.Println(err)
		return
	}
	m, err := archive.Read(bytes.NewReader(file.Bytes()), archive.Discard{})
	fmt.Println(m.Files[0].Name, err)
	_, err = archive.Read(bytes.NewReader(bytes.Replace(file.Bytes(), []byte("hi"), []byte("ho"), 1)), archive.Discard{})
	fmt.Println(err)
	// Output:
	// berth.db <nil>
	// the backup is damaged or not a backup of Berth: the content of berth.db does not have the digest of the manifest
}
