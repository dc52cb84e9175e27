package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/marketplace/format"
)

// Problem is one error in a tree.
type Problem struct {
	Kind   format.Kind
	Reason string // names the file
}

// Problems are the errors in a tree.
type Problems []Problem

// Error implements error.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.Reason
	}
	return strings.Join(lines, "\n")
}

// Report is the result of Verify.
type Report struct {
	Root     format.Root // zero if it cannot be read
	Signer   string      // ID of the key that has signed it
	Plugins  int
	Releases int
	Bytes    int64 // of all modules
	Problems Problems
}

// Source reads a tree. An error with fault.NotFound means that a file is missing.
type Source interface {
	Read(ctx context.Context, path string, limit int64) ([]byte, error)
	// List returns the files below p, r and blobs; nil if the source cannot list them.
	List() ([]string, error)
}

// DirSource reads a tree from its directory.
type DirSource struct{ Tree *Tree }

// Read implements Source.
func (d DirSource) Read(_ context.Context, path string, limit int64) ([]byte, error) {
	return d.Tree.read(path, limit)
}

// List implements Source.
func (d DirSource) List() ([]string, error) { return d.Tree.paths("p", "r", "blobs") }

// WebSource reads a tree from a web server.
type WebSource struct {
	Session *marketplace.Session
	URL     string // of the tree, ending in /
}

// Read implements Source.
func (w WebSource) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	content, err := w.Session.Get(ctx, w.URL+path, limit)
	if errors.Is(err, marketplace.ErrAbsent) {
		return nil, fault.New(fault.NotFound, "%s: %w", path, err)
	}
	return content, err
}

// List implements Source.
func (w WebSource) List() ([]string, error) { return nil, nil }

// TreeURL checks the URL of a tree, and appends a missing /.
func TreeURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fault.Field("url", "%.80q is not the URL of a tree: it has a host, and neither query nor fragment", raw)
	}
	return strings.TrimSuffix(strings.TrimSuffix(raw, "/"), "/"+format.RootPath) + "/", nil
}

// Verify verifies a whole tree, its modules included, as of now. The error concerns
// reading it; errors in the tree are in the report.
func Verify(ctx context.Context, from Source, keys []format.Key, now time.Time) (Report, error) {
	c := &checker{from: from, used: map[string]bool{}}
	root, signer := c.root(ctx, keys, now)
	r := Report{Signer: signer}
	if root.Format != "" {
		r.Root = root
		c.tree(ctx, root)
		c.unlisted(root)
	}
	if c.err != nil {
		return Report{}, c.err
	}
	r.Plugins, r.Releases, r.Bytes, r.Problems = c.plugins, c.releases, c.bytes, c.problems
	return r, nil
}

// checker verifies a tree once.
type checker struct {
	from     Source
	problems Problems
	err      error           // the first that does not concern the tree
	used     map[string]bool // referenced paths
	unread   bool            // a page could not be read, so its references are unknown

	plugins, releases int
	bytes             int64
}

func (c *checker) problem(err error) {
	kind := format.Malformed
	errors.As(err, &kind)
	c.problems = append(c.problems, Problem{kind, err.Error()})
}

// read reads a file of the tree; false after an error, which it records.
func (c *checker) read(ctx context.Context, path string, limit int64) ([]byte, bool) {
	if c.err != nil {
		return nil, false
	}
	content, err := c.from.Read(ctx, path, limit)
	kind := format.Kind("")
	switch {
	case err == nil:
		return content, true
	case fault.Is(err, fault.NotFound):
		c.problem(format.Refuse(format.Absent, "%s: is not there", path))
	case errors.As(err, &kind):
		c.problem(err)
	case fault.Is(err, fault.Exhausted):
		c.problem(format.Refuse(format.TooLarge, "%s: %v", path, err))
	default:
		c.err = fmt.Errorf("read %s: %w", path, err)
	}
	return nil, false
}

func (c *checker) root(ctx context.Context, keys []format.Key, now time.Time) (format.Root, string) {
	text, ok := c.read(ctx, format.RootPath, format.MaxRoot)
	if !ok {
		return format.Root{}, ""
	}
	before := len(c.problems)
	sig, ok := c.read(ctx, format.RootPath+format.SigSuffix, format.MaxSignature)
	if !ok {
		c.problems = c.problems[:before] // the error of format.Verify is better
		sig = nil
	}
	key, err := format.Verify(format.RootPath, text, sig, keys)
	if err != nil {
		c.problem(err)
	}
	root, err := format.ParseRoot(text)
	if err != nil {
		c.problem(err)
		return format.Root{}, ""
	}
	if !now.Before(root.Expires) {
		c.problem(format.Refuse(format.Expired, "root.json: has expired on %s", root.Expires.Format(time.RFC3339)))
	}
	if c.problems == nil {
		return root, key.ID()
	}
	return root, ""
}

// tree verifies all files of a root, and those that they refer to.
func (c *checker) tree(ctx context.Context, root format.Root) {
	keys := map[string]string{}
	names := map[string]bool{}
	for _, path := range slices.Sorted(maps.Keys(root.Files)) {
		publisher, name, ok := format.ParsePagePath(path)
		if !ok {
			if strings.HasPrefix(path, "p/") {
				c.problem(format.Refuse(format.BadName, "%s: is no plugin's page", path))
			}
			continue
		}
		text, ok := c.listed(ctx, root, path, format.MaxPage)
		if !ok {
			c.unread = true
			continue
		}
		page, err := format.ParsePage(publisher, name, text)
		if err != nil {
			c.problem(err)
			c.unread = true
			continue
		}
		c.plugins++
		if key, ok := keys[publisher]; ok && key != page.Key {
			c.problem(format.Refuse(format.KeyConflict, "%s: names another key than the publisher's other pages", path))
		}
		keys[publisher] = page.Key
		for _, v := range page.Versions {
			names[format.ReleasePath(publisher, name, v.Version)] = true
			c.release(ctx, root, page, v)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(root.Files)) {
		if !c.unread && strings.HasPrefix(path, "r/") && !names[strings.TrimSuffix(path, format.SigSuffix)] {
			c.problem(format.Refuse(format.Unlisted, "%s: no page has this release", path))
		}
	}
}

// listed reads a file and verifies it by the root.
func (c *checker) listed(ctx context.Context, root format.Root, path string, limit int64) ([]byte, bool) {
	c.used[path] = true
	file, ok := root.Files[path]
	if !ok {
		c.problem(format.Refuse(format.Absent, "%s: root.json does not list it", path))
		return nil, false
	}
	text, ok := c.read(ctx, path, limit)
	if !ok {
		return nil, false
	}
	if err := file.Check(path, text); err != nil {
		c.problem(err)
		return nil, false
	}
	return text, true
}

// release verifies one version of a plugin: what is signed, and the module.
func (c *checker) release(ctx context.Context, root format.Root, page format.Page, v format.PageVersion) {
	c.releases++
	path := format.ReleasePath(page.Publisher, page.Name, v.Version)
	text, ok := c.listed(ctx, root, path, format.MaxRelease)
	sig, signed := c.listed(ctx, root, path+format.SigSuffix, format.MaxSignature)
	c.modules(ctx, page, v)
	if !ok || !signed {
		return
	}
	var keys []format.Key
	if key, err := format.ParseKey(page.Key); err == nil {
		keys = append(keys, key)
	}
	if _, err := format.Verify(path, text, sig, keys); err != nil {
		c.problem(err)
		return
	}
	r, err := format.ParseRelease(text)
	if err == nil {
		err = r.Fits(page, v)
	}
	if err != nil {
		c.problem(err)
	}
}

// modules verifies every copy of a version's module.
func (c *checker) modules(ctx context.Context, page format.Page, v format.PageVersion) {
	for _, path := range v.URLs {
		c.used[path] = true
		module, ok := c.read(ctx, path, format.MaxBlob)
		if !ok {
			continue
		}
		c.bytes += int64(len(module))
		r := format.Release{Publisher: page.Publisher, Name: page.Name, Version: v.Version, SHA256: v.SHA256, Size: v.Size,
			Capabilities: v.Capabilities}
		if _, err := fits(r, module); err != nil {
			c.problem(err)
		}
	}
}

// unlisted finds files that no other file refers to.
func (c *checker) unlisted(root format.Root) {
	list, err := c.from.List()
	if err != nil && c.err == nil {
		c.err = err
	}
	for _, path := range list {
		_, listed := root.Files[path]
		if !c.unread && !listed && !c.used[path] {
			c.problem(format.Refuse(format.Unlisted, "%s: no file refers to it: sign the tree again, or remove the file", path))
		}
	}
}
