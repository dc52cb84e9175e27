package archive

import (
	"encoding/json"
	"time"
)

// Header is header.
func Header(name string, size int64, at time.Time) [blockSize]byte { return header(name, size, at) }

// Forge returns an archive with this manifest, which may be invalid, and its digest; all
// files are empty.
func Forge(m Manifest) []byte {
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	var out []byte
	add := func(name string, content []byte) {
		h := header(name, int64(len(content)), m.CreatedAt)
		out = append(append(append(out, h[:]...), content...), make([]byte, padding(int64(len(content))))...)
	}
	add(manifestName, text)
	add(digestName, digestLine(text))
	for _, f := range m.Files {
		add(f.Name, nil)
	}
	return append(out, make([]byte, endSize)...)
}
