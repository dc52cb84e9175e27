package index

import (
	"slices"

	"github.com/berth-host/berth/host/marketplace/format"
)

// newer refuses a root that is older than one seen before, or contradicts it. The caller
// holds c.mu.
func (c *Client) newer(next *snapshot) error {
	if err := c.load(); err != nil {
		return err
	}
	id := c.identity(next)
	seen, sum := c.state.Seen[id], format.FileOf(next.rootText).SHA256
	last, known := c.state.Signers[c.base]
	refuse := func(kind format.Kind, text string, args ...any) error {
		return c.wrap("", format.Refuse(kind, text, args...))
	}
	switch {
	case next.root.Sequence < seen:
		return refuse(format.Older, "root.json: has the sequence %d, but %d was seen already: it is an old copy", next.root.Sequence, seen)
	case next.root.Sequence == seen && c.state.Roots[id] != "" && c.state.Roots[id] != sum:
		return refuse(format.Older, "root.json: was changed, and still has the sequence %d: its signer must raise that", seen)
	case !known || last == next.signer || !c.trusts(last):
		return nil
	case next.signer == "":
		return refuse(format.NoSignature,
			"root.json: is not signed, and was before; if it is not signed any more, remove its keys from marketplace.trusted_keys")
	case next.root.Sequence <= seen:
		// Each key has a sequence of its own. During a change of the key both are trusted:
		// then the last root of the old key must not be accepted again.
		return refuse(format.Older,
			"root.json: is an old copy: it has the sequence %d of the key %s, and another key has signed since; if that key is not used "+
				"any more, remove it from marketplace.trusted_keys", seen, next.keyID())
	}
	return nil
}

// trusts reports whether a key, in base64, may sign the root.
func (c *Client) trusts(key string) bool {
	return slices.ContainsFunc(c.keys, func(k format.Key) bool { return k.String() == key })
}

// identity returns the key of a root's sequence.
func (c *Client) identity(s *snapshot) string {
	if s.signer == "" {
		return "unsigned " + c.base
	}
	return s.signer + " " + s.root.Marketplace
}

// keyID returns the id of the signing key.
func (s *snapshot) keyID() string {
	k, err := format.ParseKey(s.signer)
	if err != nil {
		return s.signer // unsigned
	}
	return k.ID()
}
