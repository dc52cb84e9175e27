package pages

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/berth-host/berth/host/fault"
)

const (
	magic       = "SQLite format 3\x00"
	headerSize  = 100
	minPage     = 512
	maxPage     = 65536
	usualPage   = 4096
	pendingByte = 1 << 30 // the page with this byte is never used
	maxPages    = 1 << 31 // of one image, 8 TiB of 4 KiB
)

// Header is the part of a data file's header that identifies it.
type Header struct {
	Readable    bool // the fields below are known
	Application uint32
	Schema      uint32 // user_version
}

// Image is the last committed content of a data file and its WAL.
type Image struct {
	Header Header
	WAL    WAL

	file, log *os.File // log is nil without a WAL
	size      int      // bytes of a page
	usable    int      // bytes of a page that SQLite uses
	count     uint32   // pages
	mapped    bool     // the file has a map of pages
	frames    map[uint32]int64
	outdated  map[uint32]bool // pages whose newest frame is damaged
	free      bitmap
	freeKnown bool // free has every free page
	seen      bitmap
	mapPage   uint32 // the page in mapData
	mapData   []byte
	progress  func(read, total int64)
	read      uint32
	continued uint64 // pages read on which values continue
}

// Open opens a data file, and its WAL if there is one, for reading. progress, which may be
// nil, gets the number of bytes read so far and that of all pages, now and then.
// fault.NotFound: there is no such file. fault.Invalid: it is too short to have a page.
func Open(path string, progress func(read, total int64)) (*Image, error) {
	im := &Image{progress: progress, outdated: make(map[uint32]bool), frames: make(map[uint32]int64)}
	if err := im.open(path); err != nil {
		return nil, errors.Join(err, im.Close())
	}
	return im, nil
}

func (im *Image) open(path string) (err error) {
	if im.file, err = os.Open(path); errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, "%w", err)
	} else if err != nil {
		return fault.New(fault.Unavailable, "%w", err)
	}
	info, err := im.file.Stat()
	if err != nil {
		return fault.New(fault.Unavailable, "%w", err)
	}
	switch im.log, err = os.Open(path + "-wal"); {
	case errors.Is(err, fs.ErrNotExist):
		im.log = nil
	case err != nil:
		return fault.New(fault.Unavailable, "%w", err)
	}
	head := make([]byte, headerSize)
	n, _ := im.file.ReadAt(head, 0) // one that cannot be read is damaged
	im.size = pageSize(head[:n])
	if err := im.readWAL(); err != nil {
		return err
	}
	if im.size == 0 {
		im.size = usualPage
	}
	im.usable = im.size
	onDisk := info.Size() / int64(im.size)
	if onDisk > maxPages {
		return fault.New(fault.Invalid, "%s has %d pages, more than a data file can have", path, onDisk)
	}
	if im.count == 0 { // no transaction in the WAL says it
		im.count = uint32(onDisk)
	}
	im.readHeader()
	if have := uint32(onDisk) + uint32(len(im.frames)); im.count/64 > have {
		im.count = have // no file of this size was meant
	}
	if im.count == 0 {
		return fault.New(fault.Invalid, "%s is empty or shorter than one page: there is nothing to export; restore a backup", path)
	}
	im.free, im.seen = newBitmap(im.count), newBitmap(im.count)
	im.readFree()
	return nil
}

// pageSize returns the size of a page that a header says, or 0 when it is no header.
func pageSize(head []byte) int {
	if len(head) < headerSize || string(head[:len(magic)]) != magic {
		return 0
	}
	size := int(binary.BigEndian.Uint16(head[16:]))
	if size == 1 {
		size = maxPage
	}
	if !validSize(size) {
		return 0
	}
	return size
}

func validSize(size int) bool { return size >= minPage && size <= maxPage && size&(size-1) == 0 }

// readHeader reads the newest header, and finds out whether the file has a map of pages.
func (im *Image) readHeader() {
	head, err := im.Page(1)
	if err == nil && pageSize(head) == im.size && !im.outdated[1] {
		im.Header = Header{Readable: true, Application: binary.BigEndian.Uint32(head[68:]), Schema: binary.BigEndian.Uint32(head[60:])}
		im.mapped = binary.BigEndian.Uint32(head[52:]) != 0
		if reserved := int(head[20]); im.size-reserved >= 480 {
			im.usable = im.size - reserved
		}
		said := binary.BigEndian.Uint32(head[28:])
		if len(im.frames) == 0 && said > 0 && bytes.Equal(head[24:28], head[92:96]) {
			im.count = said // a file that is shorter was truncated
		}
		return
	}
	im.mapped = im.looksMapped()
}

// looksMapped reports whether page 2 looks like the first page of the map.
func (im *Image) looksMapped() bool {
	page, err := im.Page(2)
	if err != nil {
		return false
	}
	n := min(im.count-2, uint32(im.usable/5))
	for i := range n {
		kind, parent := page[5*i], binary.BigEndian.Uint32(page[5*i+1:])
		if i+3 == im.pendingPage() {
			continue
		}
		if kind < kindRoot || kind > kindTree || parent > im.count {
			return false
		}
	}
	return n > 0
}

// Count returns the number of pages.
func (im *Image) Count() uint32 { return im.count }

// errBeyond is the error of a page that the file does not have.
var errBeyond = errors.New("the file ends before it")

// Page returns the newest content of a page that can be read, from the WAL or the file.
func (im *Image) Page(n uint32) ([]byte, error) {
	if n == 0 || n > im.count && im.count > 0 {
		return nil, fmt.Errorf("page %d: %w", n, errBeyond)
	}
	from, at := im.file, int64(n-1)*int64(im.size)
	if offset, ok := im.frames[n]; ok {
		from, at = im.log, offset
	}
	page := make([]byte, im.size)
	if _, err := from.ReadAt(page, at); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("page %d: %w", n, errBeyond)
	} else if err != nil {
		return nil, fmt.Errorf("page %d: %w", n, err)
	}
	return page, nil
}

// note reports progress.
func (im *Image) note() {
	const every = 256
	if im.read++; im.progress != nil && im.read%every == 0 {
		im.progress(int64(min(im.read, im.count))*int64(im.size), int64(im.count)*int64(im.size))
	}
}

// Close closes the files.
func (im *Image) Close() error {
	var errs []error
	for _, f := range []*os.File{im.file, im.log} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

func (im *Image) pendingPage() uint32 { return uint32(pendingByte/im.size) + 1 }

// bitmap is a set of pages.
type bitmap []byte

func newBitmap(pages uint32) bitmap { return make(bitmap, pages/8+1) }

func (b bitmap) has(page uint32) bool {
	return int(page/8) < len(b) && b[page/8]&(1<<(page%8)) != 0
}

func (b bitmap) add(page uint32) {
	if int(page/8) < len(b) {
		b[page/8] |= 1 << (page % 8)
	}
}
