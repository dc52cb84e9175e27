// Package keys is the index of a log by idempotency key and event id. An index in the
// order of the keys would write one page anywhere in it for each event, because keys are
// random. So a new event's keys go into memory (Recent), and from there into the file, by
// the thousand and in the order of their hashes: then one page takes many. A start reads
// the keys of the events that are not merged yet from the events themselves.
//
// The index has hashes of 64 bits. It returns candidates: the caller compares the keys,
// since hashes collide and the events of entries may have been trimmed.
//
// Entries outlive the events: deleting an event's entries with it would change a page
// anywhere for each, too. A Sweep deletes those of many trimmed events in the order of the
// hashes.
//
// Only the writer of the store adds, merges and removes entries; Lookup is safe for
// concurrent use with it. The lock of Recent is a leaf. Read this file first, then
// recent.go, index.go and sweep.go.
package keys

import (
	"crypto/sha256"
	"encoding/binary"
)

// seedSize is the size of the store's random seed, in bytes. Clients do not know it, so
// they cannot choose keys of one hash.
const seedSize = 16

const (
	timeBits = 42 // of an id's milliseconds: until the year 2109
	mixBits  = 63 - timeBits
)

// hash returns the hash of a key or an id. Those in the form of a UUIDv7, such as the ids
// that the host gives, have positive hashes that begin with their time: new ones are at
// the end of the index. All others have negative ones.
func hash(seed []byte, text string) int64 {
	var small [128]byte
	sum := sha256.Sum256(append(append(small[:0], seed...), text...))
	h := binary.BigEndian.Uint64(sum[:])
	if ms, ok := uuidTime(text); ok {
		return int64(ms&(1<<timeBits-1)<<mixBits | h>>(64-mixBits))
	}
	return int64(h | 1<<63)
}

// uuidTime returns the milliseconds of a UUIDv7 in its usual text form.
func uuidTime(text string) (ms uint64, ok bool) {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[14] != '7' || text[18] != '-' || text[23] != '-' {
		return 0, false
	}
	for i := range 13 {
		var digit byte
		switch c := text[i]; {
		case i == 8:
			continue
		case c >= '0' && c <= '9':
			digit = c - '0'
		case c >= 'a' && c <= 'f':
			digit = c - 'a' + 10
		default:
			return 0, false
		}
		ms = ms<<4 | uint64(digit)
	}
	return ms, true
}
