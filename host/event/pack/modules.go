package pack

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
)

// The column of modules has a uvarint with the number of distinct digests, the digests,
// and the runs. A digest is a uvarint, twice its length in bytes plus 1 when the bytes
// are those that the hexadecimal digits stand for, and the bytes. A run is two uvarints:
// the index of a digest and its number of outcomes. A last run may be absent: the
// outcomes that remain have the digest of the last run or, without one, the first digest.

// encodeModules does nothing when no digest is known.
func (e *Encoder) encodeModules(list []Outcome) {
	clear(e.digests)
	e.digests = e.digests[:0]
	column := &e.columns[columnModules]
	same := list[0].Digest
	if !slices.ContainsFunc(list, func(o Outcome) bool { return o.Digest != same }) {
		if same != "" {
			column.b = append(column.b, 1)
			column.addBytes(appendDigest(nil, same))
		}
		return
	}
	var runs []byte
	for from := 0; from < len(list); {
		digest, to := list[from].Digest, from+1
		for to < len(list) && list[to].Digest == digest {
			to++
		}
		n := slices.Index(e.digests, digest)
		if n < 0 {
			n = len(e.digests)
			e.digests = append(e.digests, digest)
		}
		runs = binary.AppendUvarint(runs, uint64(n))
		runs = binary.AppendUvarint(runs, uint64(to-from))
		from = to
	}
	column.b = binary.AppendUvarint(column.b, uint64(len(e.digests)))
	for _, digest := range e.digests {
		column.b = appendDigest(column.b, digest)
	}
	column.addBytes(runs)
}

func appendDigest(dst []byte, digest string) []byte {
	raw, err := hex.DecodeString(digest)
	if err != nil || hex.EncodeToString(raw) != digest {
		dst = binary.AppendUvarint(dst, uint64(len(digest))<<1)
		return append(dst, digest...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(raw))<<1|1)
	return append(dst, raw...)
}

// modules are the digests of a block's outcomes, in order.
type modules struct {
	r       reader // of the runs
	digests []string
	digest  string // of the present run
	left    int    // outcomes of the present run
	last    bool   // the present run is the last
}

func openModules(column []byte) (*modules, error) {
	m := &modules{r: reader{b: column}}
	if len(column) == 0 {
		m.last = true
		return m, nil
	}
	n := m.r.required()
	if n < 1 || n > MaxOutcomes {
		return nil, damaged("the number of its digests")
	}
	for range n {
		head := m.r.required()
		raw := m.r.bytes(head >> 1)
		if m.r.bad {
			return nil, damaged("a digest")
		}
		if head&1 == 1 {
			m.digests = append(m.digests, hex.EncodeToString(raw))
		} else {
			m.digests = append(m.digests, string(raw))
		}
	}
	m.digest = m.digests[0]
	return m, nil
}

// next returns the digest of the next outcome.
func (m *modules) next() (string, error) {
	if m.left == 0 && !m.last {
		if m.last = len(m.r.b) == 0; !m.last {
			n, length := m.r.required(), m.r.required()
			if m.r.bad || n >= uint64(len(m.digests)) || length < 1 || length > MaxOutcomes {
				return "", damaged("a run of digests")
			}
			m.digest, m.left = m.digests[n], int(length)
		}
	}
	if m.left > 0 {
		m.left--
	}
	return m.digest, nil
}

// ended reports whether the runs end here.
func (m *modules) ended() bool { return m.r.ended() && m.left == 0 }
