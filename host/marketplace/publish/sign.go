package publish

import (
	"context"
	"strconv"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace/format"
)

// Signing are the contents of a new root.
type Signing struct {
	Name    string              // of the marketplace; "": as the root before
	Expires time.Time           // from then on nothing is installed by it
	Revoke  []format.Revocation // besides what the root before has revoked
	Restore []string            // digests and releases that are revoked no more
}

// Sign makes the tree's next root of all its files and signs it. A tree with errors is
// not signed: the error is Problems.
func (t *Tree) Sign(ctx context.Context, s Signing, by format.Signer) (format.Root, error) {
	next := format.Root{Marketplace: s.Name, Sequence: 1, Expires: s.Expires.UTC().Truncate(time.Second), Files: map[string]format.File{}}
	text, err := t.read(format.RootPath, format.MaxRoot)
	switch {
	case err == nil:
		before, err := format.ParseRoot(text)
		if err != nil {
			return format.Root{}, err
		}
		if next.Marketplace == "" {
			next.Marketplace = before.Marketplace
		}
		if next.Marketplace != before.Marketplace {
			return format.Root{}, fault.New(fault.Conflict,
				"the marketplace is called %s, and hosts know it by that: it cannot become %s", before.Marketplace, next.Marketplace)
		}
		next.Sequence, next.Revoked = before.Sequence+1, before.Revoked
	case !fault.Is(err, fault.NotFound):
		return format.Root{}, err
	case s.Name == "":
		return format.Root{}, fault.New(fault.Invalid, "the marketplace has no name yet: give it one")
	}
	if next.Revoked, err = revoke(next.Revoked, s); err != nil {
		return format.Root{}, err
	}
	paths, err := t.paths("p", "r")
	if err != nil {
		return format.Root{}, err
	}
	if len(paths) > format.MaxFiles {
		return format.Root{}, format.RefuseAs(fault.Invalid, format.TooLarge, "%d files are over the limit of %d", len(paths),
			format.MaxFiles)
	}
	c := &checker{from: DirSource{t}, used: map[string]bool{}}
	for _, path := range paths {
		content, err := t.read(path, format.MaxPage)
		if err != nil {
			return format.Root{}, err
		}
		next.Files[path] = format.FileOf(content)
	}
	c.tree(ctx, next)
	if c.err != nil {
		return format.Root{}, c.err
	}
	if len(c.problems) > 0 {
		return format.Root{}, c.problems
	}
	if text, err = next.Encode(); err != nil {
		return format.Root{}, err
	}
	if next, err = format.ParseRoot(text); err != nil {
		return format.Root{}, invalid(err)
	}
	sig := by.Sign(text, "berth marketplace "+next.Marketplace+" sequence "+strconv.FormatInt(next.Sequence, 10))
	// A client between the two renames finds a signature that does not match, and fetches
	// both again.
	if err := t.write(format.RootPath+format.SigSuffix, sig); err != nil {
		return format.Root{}, err
	}
	return next, t.write(format.RootPath, text)
}

// revoke adds and removes revocations, each at most once.
func revoke(list []format.Revocation, s Signing) ([]format.Revocation, error) {
	gone := map[string]bool{}
	for _, id := range s.Restore {
		gone[id] = true
	}
	var out []format.Revocation
	seen := map[string]bool{}
	for _, r := range append(append([]format.Revocation{}, s.Revoke...), list...) {
		id := r.SHA256 + r.Release
		if !seen[id] && !gone[id] {
			out = append(out, r)
		}
		seen[id] = true
	}
	for id := range gone {
		if !seen[id] {
			return nil, fault.New(fault.NotFound, "%s is not revoked", id)
		}
	}
	return out, nil
}
