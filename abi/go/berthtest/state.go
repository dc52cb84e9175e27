package berthtest

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"

	berth "github.com/berth-host/berth/abi/go"
)

const (
	maxKeys        = 256      // of one call of kv_list
	maxKeyBytes    = 64 << 10 // of one call of kv_list
	maxAtomicKeys  = 1000     // that an event of an atomic handler writes
	maxAtomicBytes = 8 << 20  // of those keys and their values
)

// write is what an event of an atomic handler has done to a key.
type write struct {
	value   []byte // nil: deleted
	expires time.Time
}

// overlay has the writes of the open event of an atomic handler, by key.
type overlay struct{ writes map[string]write }

// commit applies the writes.
func (o overlay) commit(h *Host) {
	for key, w := range o.writes {
		h.write(key, w)
	}
}

// fits reports whether the event may write this key as well.
func (o overlay) fits(key string, value []byte) bool {
	keys, size := 1, len(key)+len(value)
	for k, w := range o.writes {
		if k != key {
			keys++
			size += len(k) + len(w.value)
		}
	}
	return keys <= maxAtomicKeys && size <= maxAtomicBytes
}

func (h *Host) now() time.Time {
	if h.Now != nil {
		return h.Now()
	}
	return time.Now()
}

// read returns a key of the plugin's state. It is absent once it has expired.
func (h *Host) read(key string) (w write, ok bool) {
	value, ok := h.KV[key]
	expires := h.Expires[key]
	if !ok || !expires.IsZero() && !h.now().Before(expires) {
		return write{}, false
	}
	if value == nil {
		value = []byte{}
	}
	return write{value, expires}, true
}

// write changes a key of the plugin's state.
func (h *Host) write(key string, w write) {
	delete(h.Expires, key)
	if w.value == nil {
		delete(h.KV, key)
		return
	}
	if h.KV == nil {
		h.KV = make(map[string][]byte)
	}
	h.KV[key] = w.value
	if w.expires.IsZero() {
		return
	}
	if h.Expires == nil {
		h.Expires = make(map[string]time.Time)
	}
	h.Expires[key] = w.expires
}

// read returns a key as the open event sees it.
func (d *delivery) read(key string) (w write, ok bool) {
	if w, ok := d.state.writes[key]; ok {
		gone := w.value == nil || !w.expires.IsZero() && !d.host.now().Before(w.expires)
		return w, !gone
	}
	return d.host.read(key)
}

// write changes a key, with the open event if the host is atomic.
func (d *delivery) write(key string, w write) int32 {
	if !d.host.Atomic || !d.open {
		d.host.write(key, w)
		return 0
	}
	if !d.state.fits(key, w.value) {
		return d.fail(berth.ErrTooLarge, "the event writes over 1,000 keys or 8 MiB")
	}
	if d.state.writes == nil {
		d.state.writes = make(map[string]write)
	}
	d.state.writes[key] = w
	return 0
}

// kv returns the code of a call of kv with an invalid key or value, or 0.
func (d *delivery) kv(key string, value []byte) int32 {
	switch {
	case slices.Contains(d.host.Denied, "kv"):
		return d.fail(berth.ErrDenied, "kv is not granted")
	case key == "":
		return d.fail(berth.ErrInvalid, "the key is empty")
	case len(key) > maxKVKey:
		return d.fail(berth.ErrTooLarge, "the key is over 256 bytes")
	case len(value) > maxKVValue:
		return d.fail(berth.ErrTooLarge, "the value is over 1 MiB")
	}
	return 0
}

func (d *delivery) KVGet(key string, buf []byte) int32 {
	if code := d.kv(key, nil); code != 0 {
		return code
	}
	w, ok := d.read(key)
	if !ok {
		return d.fail(berth.ErrNotFound, "no such key")
	}
	return d.yield(buf, w.value)
}

func (d *delivery) KVSet(key string, value []byte) int32 {
	if code := d.kv(key, value); code != 0 {
		return code
	}
	return d.write(key, write{value: append([]byte{}, value...)})
}

func (d *delivery) KVCAS(key string, old, value []byte) int32 {
	if code := d.kv(key, value); code != 0 {
		return code
	}
	w, ok := d.read(key)
	if ok != (old != nil) || ok && !bytes.Equal(w.value, old) {
		return d.fail(berth.ErrConflict, "the value differs")
	}
	if !ok {
		w.expires = time.Time{}
	}
	return d.write(key, write{append([]byte{}, value...), w.expires})
}

func (d *delivery) KVDelete(key string) int32 {
	if code := d.kv(key, nil); code != 0 {
		return code
	}
	return d.write(key, write{})
}

func (d *delivery) KVExpire(key string, seconds int32) int32 {
	if code := d.kv(key, nil); code != 0 {
		return code
	}
	if seconds < 0 {
		return d.fail(berth.ErrInvalid, "the time is below zero")
	}
	w, ok := d.read(key)
	if !ok {
		return d.fail(berth.ErrNotFound, "no such key")
	}
	w.expires = time.Time{}
	if seconds > 0 {
		w.expires = d.host.now().Add(time.Duration(seconds) * time.Second)
	}
	return d.write(key, w)
}

func (d *delivery) KVList(prefix, after string, buf []byte) int32 {
	if prefix != "" {
		if code := d.kv(prefix, nil); code != 0 {
			return code
		}
	} else if slices.Contains(d.host.Denied, "kv") {
		return d.fail(berth.ErrDenied, "kv is not granted")
	}
	all := make(map[string]bool)
	for key := range d.host.KV {
		all[key] = true
	}
	for key := range d.state.writes {
		all[key] = true
	}
	var page []byte
	listed := 0
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if _, ok := d.read(key); !ok || !strings.HasPrefix(key, prefix) || key <= after {
			continue
		}
		if listed++; listed > maxKeys || len(page)+4+len(key) > maxKeyBytes {
			break
		}
		page = append(binary.LittleEndian.AppendUint32(page, uint32(len(key))), key...)
	}
	return d.yield(buf, page)
}
