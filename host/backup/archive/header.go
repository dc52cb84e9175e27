package archive

import (
	"fmt"
	"time"
)

// The layout of tar (POSIX.1-2024, pax, "ustar Interchange Format"). The package encodes
// headers itself: their bytes must not depend on the version of a library.
const (
	blockSize = 512           // of a header, and the unit of contents, in bytes
	endSize   = 2 * blockSize // of the end of an archive
	maxOctal  = 1<<33 - 1     // the largest size in 11 octal digits
	maxSize   = 1 << 55       // of all files together
)

// The fields of a header that an entry uses.
const (
	modeAt, ownerAt, groupAt = 100, 108, 116
	sizeAt, timeAt, sumAt    = 124, 136, 148
	typeAt, magicAt          = 156, 257
)

// header returns the header of a regular file. The name must pass checkName.
func header(name string, size int64, at time.Time) (h [blockSize]byte) {
	copy(h[:], name)
	copy(h[modeAt:], "0000600\x00")
	copy(h[ownerAt:], "0000000\x00")
	copy(h[groupAt:], "0000000\x00")
	if size <= maxOctal {
		copy(h[sizeAt:], fmt.Sprintf("%011o\x00", size))
	} else { // a binary number, as GNU tar writes it
		h[sizeAt] = 0x80
		for i, n := sizeAt+11, size; n > 0; i, n = i-1, n>>8 {
			h[i] = byte(n)
		}
	}
	copy(h[timeAt:], fmt.Sprintf("%011o\x00", at.Unix()))
	h[typeAt] = '0'
	copy(h[magicAt:], "ustar\x0000")
	copy(h[sumAt:], "        ")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[sumAt:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

// padding returns the number of zero bytes after a content.
func padding(size int64) int64 { return -size & (blockSize - 1) }

// entrySize returns the size of an entry.
func entrySize(size int64) int64 { return blockSize + size + padding(size) }
