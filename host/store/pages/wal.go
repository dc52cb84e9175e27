package pages

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/berth-host/berth/host/fault"
)

// WAL describes the write-ahead log of an image.
type WAL struct {
	Used    int  `json:"used_frames"`    // frames whose content is used
	Damaged int  `json:"damaged_frames"` // frames of committed transactions that are damaged
	Unknown int  `json:"unknown_frames"` // of these, the frames whose page is not known: any page may be outdated
	Header  bool `json:"damaged_header"` // SQLite would ignore the WAL
}

const (
	walHeader    = 32
	frameHeader  = 24
	walMagic     = 0x377f0682 // the lowest bit says that checksums are of big-endian words
	walFormat    = 3007000
	maxWALFrames = 1 << 28
)

// checksum continues SQLite's checksum of the WAL over b, whose length is divisible by 8.
func checksum(order binary.ByteOrder, s0, s1 uint32, b []byte) (uint32, uint32) {
	for ; len(b) >= 8; b = b[8:] {
		s0 += order.Uint32(b) + s1
		s1 += order.Uint32(b[4:]) + s0
	}
	return s0, s1
}

// frame is a frame of the WAL.
type frame struct {
	page   uint32
	size   uint32 // of the file in pages, in the last frame of a transaction
	salts  salts
	right  bool  // its checksum is
	sound  bool  // it is right, and ours
	ours   bool  // it has the salts of this WAL
	offset int64 // of its content
}

// salts tell the frames of a WAL from those that are left of the WAL before, which it
// overwrites from the beginning.
type salts [8]byte

// generation is one more than that of the WAL before.
func (s salts) generation() uint32 { return binary.BigEndian.Uint32(s[:]) }

// saltsOf returns the salts of a WAL without a header: those that its first frame has or, if
// that is damaged as well, the newest of the right frames.
func saltsOf(first salts, frames []frame) salts {
	newest, found := first, false
	for _, f := range frames {
		switch {
		case !f.right:
		case f.salts == first:
			return first
		case !found || int32(f.salts.generation()-newest.generation()) > 0:
			newest, found = f.salts, true
		}
	}
	if first.generation() == newest.generation()+1 { // all its frames are damaged
		return first
	}
	return newest
}

// readWAL finds the newest sound frame of each page, up to the last committed
// transaction. SQLite stops at the first damaged frame. Here the frames after it are used
// as well: the checksum of each can be computed from the stored one of the frame before.
func (im *Image) readWAL() error {
	if im.log == nil {
		return nil
	}
	info, err := im.log.Stat()
	if err != nil {
		return fault.New(fault.Unavailable, "%w", err)
	}
	if info.Size() < walHeader+frameHeader+minPage {
		return nil
	}
	head := make([]byte, walHeader+frameHeader)
	if _, err := im.log.ReadAt(head, 0); err != nil {
		im.WAL.Header = true // nothing of it can be read
		return nil
	}
	order, of, sound := im.walHeader(head)
	if im.size == 0 {
		return nil
	}
	n := (info.Size() - walHeader) / int64(frameHeader+im.size)
	if n > maxWALFrames {
		return fault.New(fault.Invalid, "%s has %d frames", im.log.Name(), n)
	}
	frames, err := im.readFrames(order, head[24:32], int(n))
	if err != nil {
		return err
	}
	if im.WAL.Header = !sound; !sound {
		of = saltsOf(of, frames)
	}
	last := -1
	for i := range frames {
		f := &frames[i]
		f.ours = f.salts == of
		if f.sound = f.ours && f.right; f.sound && f.size > 0 {
			last = i
		}
	}
	if last < 0 { // no transaction was committed, or none can be read
		if !sound {
			im.WAL.Damaged, im.WAL.Unknown = len(frames), len(frames)
		}
		return nil
	}
	im.count = frames[last].size
	for _, f := range frames[:last+1] {
		switch {
		case f.sound:
			im.frames[f.page] = f.offset
			delete(im.outdated, f.page)
			im.WAL.Used++
		case f.ours && f.page > 0 && f.page <= im.count:
			im.outdated[f.page] = true
			im.WAL.Damaged++
		default:
			im.WAL.Damaged++
			im.WAL.Unknown++
		}
	}
	for page := range im.frames {
		if page > im.count {
			delete(im.frames, page)
		}
	}
	return nil
}

// walHeader reads the header of the WAL and that of its first frame. When its own header
// is damaged, the first frame has the salts.
func (im *Image) walHeader(head []byte) (order binary.ByteOrder, of salts, sound bool) {
	kind := binary.BigEndian.Uint32(head)
	order = binary.LittleEndian
	if kind == walMagic|1 {
		order = binary.BigEndian
	}
	s0, s1 := checksum(order, 0, 0, head[:24])
	size := int(binary.BigEndian.Uint32(head[8:]))
	sound = kind&^1 == walMagic && binary.BigEndian.Uint32(head[4:]) == walFormat && validSize(size) &&
		s0 == binary.BigEndian.Uint32(head[24:]) && s1 == binary.BigEndian.Uint32(head[28:])
	switch {
	case sound:
		im.size = size
		copy(of[:], head[16:24])
	default:
		if im.size == 0 {
			im.size = usualPage
		}
		copy(of[:], head[walHeader+8:])
	}
	return order, of, sound
}

// readFrames reads n frames. seed is the stored checksum before the first.
func (im *Image) readFrames(order binary.ByteOrder, seed []byte, n int) ([]frame, error) {
	frames := make([]frame, 0, min(n, 1<<16))
	s0, s1 := binary.BigEndian.Uint32(seed), binary.BigEndian.Uint32(seed[4:])
	buf := make([]byte, frameHeader+im.size)
	for i := range n {
		at := walHeader + int64(i)*int64(len(buf))
		_, err := im.log.ReadAt(buf, at)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil { // a bad sector
			frames = append(frames, frame{})
			continue
		}
		c0, c1 := checksum(order, s0, s1, buf[:8])
		c0, c1 = checksum(order, c0, c1, buf[frameHeader:])
		s0, s1 = binary.BigEndian.Uint32(buf[16:]), binary.BigEndian.Uint32(buf[20:])
		f := frame{page: binary.BigEndian.Uint32(buf), size: binary.BigEndian.Uint32(buf[4:]), offset: at + frameHeader,
			salts: salts(buf[8:16])}
		f.right = f.page > 0 && c0 == s0 && c1 == s1
		frames = append(frames, f)
	}
	return frames, nil
}
