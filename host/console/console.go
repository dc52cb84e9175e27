// Package console is the host's page for people: static files that use the API from the
// browser. It knows no other part of the host. Read console.go first, then assets/app.js,
// which lists the pages.
package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

//go:embed assets
var assets embed.FS

// policy is the Content-Security-Policy of every file: nothing from another site, nothing
// inline, no text that becomes markup.
const policy = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
	"form-action 'self'; frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

const (
	filesPath = "/console/" // of the files
	shell     = "index.html"
)

// pages are the first parts of the paths at which the shell is answered: the browser shows
// the page. assets/app.js has the same list.
var pages = []string{"", "login", "events", "issues", "dead-letters", "operations", "handlers", "schedules", "event-types", "plugins", "marketplace", "orders", "routes",
	"cluster", "configuration", "audit", "system"}

var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// file is one embedded file.
type file struct {
	contentType, etag string
	content           []byte
}

// Console serves its files below /console/, and its shell at the path of every page. It is
// safe for concurrent use.
type Console struct {
	files map[string]file // by their path below assets
}

// New reads the embedded files.
func New() (*Console, error) {
	files, err := load(assets)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return &Console{files}, nil
}

// Has reports whether a path is one of the console.
func (c *Console) Has(urlPath string) bool {
	_, found := c.files[nameOf(urlPath)]
	return found
}

// ServeHTTP answers GET and HEAD, with an ETag to revalidate; other paths are 404.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, found := c.files[nameOf(r.URL.Path)]
	if !found {
		http.NotFound(w, r)
		return
	}
	header := w.Header()
	header.Set("Content-Type", f.contentType)
	header.Set("Content-Security-Policy", policy)
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", f.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
}

// nameOf returns the file that a path stands for; "" for none.
func nameOf(urlPath string) string {
	if name, below := strings.CutPrefix(urlPath, filesPath); below {
		return name
	}
	page, _, below := strings.Cut(strings.TrimPrefix(urlPath, "/"), "/")
	if !slices.Contains(pages, page) || page == "" && below {
		return ""
	}
	return shell
}

// load reads the files, by their path below assets.
func load(from fs.FS) (map[string]file, error) {
	files := make(map[string]file)
	err := fs.WalkDir(from, "assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		contentType, known := contentTypes[path.Ext(name)]
		if !known {
			return fmt.Errorf("%s: the extension has no content type", name)
		}
		content, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		files[strings.TrimPrefix(name, "assets/")] = file{contentType, `"` + hex.EncodeToString(sum[:12]) + `"`, content}
		return nil
	})
	return files, err
}
