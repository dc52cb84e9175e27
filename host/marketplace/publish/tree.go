package publish

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace/format"
)

// Tree is a marketplace's directory. Close it.
type Tree struct {
	root *os.Root
	dir  string
}

// Open opens the directory of a tree, and creates it first if make is set. No file
// outside of it is read or written, whatever links it contains.
func Open(dir string, make bool) (*Tree, error) {
	if make {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, asFault(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, asFault(err)
	}
	return &Tree{root, dir}, nil
}

// Close closes the directory.
func (t *Tree) Close() error { return t.root.Close() }

// read reads a regular file of the tree. fault.NotFound if it is missing.
func (t *Tree) read(name string, limit int64) ([]byte, error) {
	f, err := t.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, asFault(err)
	}
	defer f.Close()
	return readAll(f, name, limit)
}

// write replaces a file of the tree atomically, unless it has this content already.
func (t *Tree) write(name string, content []byte) (err error) {
	old, err := t.read(name, int64(len(content)))
	if err == nil && bytes.Equal(old, content) {
		return nil
	}
	dir := path.Dir(name)
	if err := t.root.MkdirAll(dir, 0o755); err != nil {
		return asFault(err)
	}
	tmp := path.Join(dir, "."+path.Base(name)+"-"+rand.Text()[:8])
	defer func() {
		if err != nil {
			_ = t.root.Remove(tmp)
			err = asFault(err)
		}
	}()
	f, err := t.root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = t.root.Rename(tmp, name); err != nil {
		return err
	}
	d, err := t.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// paths lists the files below directories of the tree, sorted, without hidden ones.
// Anything but a file or directory is an error: no server should follow it.
func (t *Tree) paths(below ...string) ([]string, error) {
	var list []string
	for _, top := range below {
		err := fs.WalkDir(t.root.FS(), top, func(name string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist) && name == top:
				return nil
			case err != nil:
				return err
			case d.IsDir():
			case !d.Type().IsRegular():
				return fault.New(fault.Invalid, "%s: is neither a file nor a directory: a marketplace holds nothing else", name)
			case !strings.HasPrefix(path.Base(name), "."):
				list = append(list, name)
			}
			return nil
		})
		if err != nil {
			return nil, asFault(err)
		}
	}
	slices.Sort(list)
	return list, nil
}

// page reads a plugin's page; fault.NotFound if there is none.
func (t *Tree) page(publisher, name string) (format.Page, error) {
	text, err := t.read(format.PagePath(publisher, name), format.MaxPage)
	if err != nil {
		return format.Page{}, err
	}
	return format.ParsePage(publisher, name, text)
}

func (t *Tree) writePage(p format.Page) error {
	text, err := p.Encode()
	if err != nil {
		return err
	}
	if _, err := format.ParsePage(p.Publisher, p.Name, text); err != nil {
		return invalid(err) // a page is valid before it is written
	}
	return t.write(format.PagePath(p.Publisher, p.Name), text)
}

// Add adds a release to the tree. The key is the publisher's; the zero Key means that of
// the publisher's pages. It reports whether that changed the tree; a present release does
// not. fault.Conflict: the version has other content in the tree, or the publisher
// another key. Sign the tree afterwards.
func (t *Tree) Add(b Bundle, key *format.Key) (changed bool, err error) {
	r := b.Release
	known, err := t.keyOf(r.Publisher)
	switch {
	case err != nil:
		return false, err
	case known == nil && key == nil:
		return false, fault.New(fault.Invalid, "%s has no plugin here yet: give the publisher's public key", r.Publisher)
	case known != nil && key != nil && known.String() != key.String():
		return false, fault.New(fault.Conflict, "%s publishes here with the key %s, not with %s: a publisher has one key", r.Publisher,
			known.ID(), key.ID())
	case key == nil:
		key = known
	}
	_, manifest, err := b.Check(*key)
	if err != nil {
		return false, err
	}
	page, err := t.page(r.Publisher, r.Name)
	if fault.Is(err, fault.NotFound) {
		page, err = format.Page{Publisher: r.Publisher, Name: r.Name, Key: key.String()}, nil
	}
	if err != nil {
		return false, err
	}
	for _, v := range page.Versions {
		switch {
		case v.Version == r.Version && r.Fits(page, v) == nil:
			return false, t.writeRelease(b) // repairs missing files
		case format.Compare(v.Version, r.Version) == 0 || strings.EqualFold(v.Version, r.Version):
			return false, fault.New(fault.Conflict,
				"%s/%s %s is there already, with other content: what is released never changes, so give it a new version", r.Publisher,
				r.Name, v.Version)
		}
	}
	page.Versions = append(page.Versions, format.PageVersion{
		Version: r.Version, ABI: r.ABI, SHA256: r.SHA256, Size: r.Size, Capabilities: r.Capabilities,
		URLs: []string{format.BlobPath(r.SHA256)}, Released: r.Released,
	})
	highest := !slices.ContainsFunc(page.Versions, func(v format.PageVersion) bool { return format.Compare(v.Version, r.Version) > 0 })
	if highest {
		page.Description, page.License, page.Homepage = manifest.Description, manifest.License, manifest.Homepage
	}
	if err := t.writeRelease(b); err != nil {
		return false, err
	}
	return true, t.writePage(page)
}

// writeRelease writes the files that a page refers to, before the page.
func (t *Tree) writeRelease(b Bundle) error {
	r := b.Release
	path := format.ReleasePath(r.Publisher, r.Name, r.Version)
	for _, f := range []struct {
		path    string
		content []byte
	}{{format.BlobPath(r.SHA256), b.Module}, {path, b.Text}, {path + format.SigSuffix, b.Signature}} {
		if err := t.write(f.path, f.content); err != nil {
			return err
		}
	}
	return nil
}

// keyOf returns the key of a publisher's pages; nil if there are none.
func (t *Tree) keyOf(publisher string) (*format.Key, error) {
	list, err := t.paths("p/" + publisher)
	if err != nil {
		return nil, err
	}
	for _, path := range list {
		publisher, name, ok := format.ParsePagePath(path)
		if !ok {
			continue
		}
		page, err := t.page(publisher, name)
		if err != nil {
			return nil, err
		}
		if page.Key == "" {
			continue
		}
		key, err := format.ParseKey(page.Key)
		return &key, err
	}
	return nil, nil
}

// Mark sets whether a release is yanked, and why it is deprecated. fault.NotFound if it
// is missing.
func (t *Tree) Mark(reference string, change func(*format.PageVersion)) error {
	publisher, name, version, err := format.ParseReference(reference)
	if err != nil {
		return invalid(err)
	}
	page, err := t.page(publisher, name)
	if err != nil {
		return err
	}
	for i := range page.Versions {
		if page.Versions[i].Version == version {
			change(&page.Versions[i])
			return t.writePage(page)
		}
	}
	return fault.New(fault.NotFound, "%s/%s has no version %s here", publisher, name, version)
}
