package index

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace/format"
)

// maxState bounds the state file, in bytes: a root, its pages as JSON strings,
// and what was seen.
const maxState = 128 << 20

// state is the content of the state file.
type state struct {
	Version int               `json:"version"`
	Seen    map[string]int64  `json:"seen"`              // highest sequence of a root, by identity
	Roots   map[string]string `json:"roots,omitempty"`   // the SHA-256 of that root, likewise
	Signers map[string]string `json:"signers,omitempty"` // the key of the last root, by the tree's URL; "" if unsigned
	List    *kept             `json:"list,omitempty"`
}

// kept is the last valid list. It is verified again when it is read, with the keys
// trusted then.
type kept struct {
	URL     string            `json:"url"`
	Fetched time.Time         `json:"fetched_at"`
	Root    string            `json:"root"`
	Sig     *string           `json:"signature"` // null: there was none
	Pages   map[string]string `json:"pages"`

	Appeared map[string]time.Time `json:"appeared,omitempty"`
}

const stateVersion = 1

// with returns the state after a snapshot was accepted.
func (s state) with(identity, base string, next *snapshot) state {
	k := &kept{URL: base, Fetched: next.fetched, Root: string(next.rootText), Pages: make(map[string]string, len(next.texts)),
		Appeared: next.appeared}
	if next.rootSig != nil {
		k.Sig = new(string(next.rootSig))
	}
	for path, text := range next.texts {
		k.Pages[path] = string(text)
	}
	return state{
		Version: stateVersion,
		Seen:    set(s.Seen, identity, next.root.Sequence),
		Roots:   set(s.Roots, identity, format.FileOf(next.rootText).SHA256),
		Signers: set(s.Signers, base, next.signer),
		List:    k,
	}
}

// set returns a copy of the map with the value added.
func set[V any](m map[string]V, key string, value V) map[string]V {
	m = maps.Clone(m)
	if m == nil {
		m = map[string]V{}
	}
	m[key] = value
	return m
}

// load reads the state file once; it may be missing. The caller holds c.mu. A damaged
// file is an error, not an empty state, which would allow older roots.
func (c *Client) load() error {
	if c.loaded {
		return nil
	}
	s, err := readState(c.cfg.State)
	if err != nil {
		return fault.New(fault.Unavailable, "the marketplace's state: %w", err)
	}
	c.loaded, c.state = true, s
	dropTemps(c.cfg.State)
	if s.List != nil && s.List.URL == c.base {
		c.current = c.restore(*s.List)
	}
	if s := c.current; s != nil && c.state.Roots == nil { // a state of before these were kept
		c.state = c.state.with(c.identity(s), c.base, s)
	}
	c.state.List = nil
	return nil
}

// restore verifies a kept list like a fetched one; nil if it is not valid any more, for
// example because other keys are trusted.
func (c *Client) restore(k kept) *snapshot {
	var sig []byte
	if k.Sig != nil {
		sig = append([]byte{}, *k.Sig...)
	}
	s, err := c.verifyRoot([]byte(k.Root), sig)
	if err != nil || s.root.Sequence < c.state.Seen[c.identity(s)] {
		return nil
	}
	s.fetched, s.appeared = k.Fetched, k.Appeared
	for path, text := range k.Pages {
		file, listed := s.root.Files[path]
		if !listed || file.Check(path, []byte(text)) != nil {
			return nil
		}
		s.texts[path] = []byte(text)
	}
	if c.parsePages(s) != nil {
		return nil
	}
	return s
}

func readState(path string) (state, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	}
	if err != nil {
		return state{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return state{}, err
	}
	var s state
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&s); err != nil || s.Version != stateVersion || len(text) > maxState {
		return state{}, fmt.Errorf("%s is damaged: remove it, and the list is fetched anew (until then it has kept older lists out)", path)
	}
	return s, nil
}

// temps returns the pattern of the state file's temporary files.
func temps(path string) string { return "." + filepath.Base(path) + "-*" }

// dropTemps removes the temporary files of a crash: there is no other writer. A file that
// cannot be removed does no harm.
func dropTemps(path string) {
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), temps(path)))
	if err != nil {
		return // the directory's name is a pattern itself
	}
	for _, name := range left {
		_ = os.Remove(name)
	}
}

// write replaces the state file durably.
func (s state) write(path string) (err error) {
	defer func() {
		if err != nil {
			err = fault.Disk("keep the marketplace's list", err)
		}
	}()
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, temps(path))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
