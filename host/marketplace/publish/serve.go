package publish

import (
	"net/http"
	"strings"
	"time"

	"github.com/berth-host/berth/host/marketplace/format"
)

// Handler serves the files of a tree by GET and HEAD, with ranges. It is for trying a
// marketplace; any web server can serve the tree.
func (t *Tree) Handler() http.Handler {
	files := t.root.FS()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "a marketplace is only read", http.StatusMethodNotAllowed)
			return
		}
		path := strings.TrimPrefix(r.URL.Path, "/")
		if !served(path) {
			http.NotFound(w, r)
			return
		}
		f, err := files.Open(path)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil || !info.Mode().IsRegular() {
			http.NotFound(w, r)
			return
		}
		content, ok := f.(interface {
			Read([]byte) (int, error)
			Seek(int64, int) (int64, error)
		})
		if !ok {
			http.Error(w, "the file cannot be served", http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		switch {
		case strings.HasSuffix(path, ".wasm"):
			h.Set("Content-Type", "application/wasm")
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
		case strings.HasSuffix(path, ".json"):
			h.Set("Content-Type", "application/json")
			h.Set("Cache-Control", "no-cache")
		default:
			h.Set("Content-Type", "text/plain; charset=utf-8")
			h.Set("Cache-Control", "no-cache")
		}
		http.ServeContent(w, r, "", time.Time{}, content)
	})
}

// served reports whether a path is one of a tree's files.
func served(path string) bool {
	if !format.ValidPath(path) {
		return false
	}
	top, _, _ := strings.Cut(path, "/")
	return path == format.RootPath || path == format.RootPath+format.SigSuffix || top == "p" || top == "r" || top == "blobs"
}
