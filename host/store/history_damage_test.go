package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/event/pack"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/logread"
	"github.com/berth-host/berth/host/store/outcomes"
)

// successesOf returns successes with results of their own.
func successesOf(handler string, from, to uint64) []event.Successes {
	s := event.Successes{Handler: handler, Digest: strings.Repeat("ab", 32)}
	for seq := from; seq <= to; seq++ {
		s.Append(seq, event.Success{At: time.Unix(int64(seq), 5).UTC(), Duration: time.Millisecond, Fuel: seq}, resultOf(handler, seq))
	}
	return []event.Successes{s}
}

func resultOf(handler string, seq uint64) []byte {
	return fmt.Appendf(nil, `{"handler":%q,"seq":%d,"text":"%040d"}`, handler, seq, seq*seq)
}

func saveSuccesses(t *testing.T, s *Store, handler string, from, to uint64) {
	t.Helper()
	if _, _, err := s.SaveDeliveries(t.Context(), nil, successesOf(handler, from, to), nil, nil); err != nil {
		t.Fatal(err)
	}
}

// wantResult requires the success of a handler that successesOf has made.
func wantResult(t *testing.T, s *Store, handler string, seq uint64) {
	t.Helper()
	list, err := s.Deliveries(t.Context(), seq)
	for _, d := range list {
		if d.Handler == handler && d.Result == string(resultOf(handler, seq)) && d.Fuel == seq && d.Status == event.StatusOK {
			return
		}
	}
	t.Errorf("event %d of %s: got %+v, %v", seq, handler, list, err)
}

// withEvents returns a store with n events.
func withEvents(t *testing.T, path string, n int) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
	if err != nil {
		t.Fatal(err)
	}
	events := make([]*event.Event, n)
	for i := range events {
		events[i] = makeEvent(t, fmt.Sprint("e", i))
	}
	if _, err := s.Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestUnreadableBlock damages one of a handler's two blocks in different ways. Reading
// it is an error that names the handler and the events; everything else continues.
func TestUnreadableBlock(t *testing.T) {
	change := func(change func(block []byte) []byte) func(*testing.T, *Store, string) {
		return func(t *testing.T, s *Store, _ string) {
			var block []byte
			if err := s.writer.QueryRow(`SELECT block FROM outcome_blocks WHERE handler = 'a' AND first_seq = 1`).Scan(&block); err != nil {
				t.Fatal(err)
			}
			if _, err := s.writer.Exec(`UPDATE outcome_blocks SET block = ? WHERE handler = 'a' AND first_seq = 1`, change(block)); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, s *Store, path string) // also closes s
		want   error                                     // nil: SQLite's own
	}{
		{"a changed byte", change(func(b []byte) []byte { b[len(b)/2] ^= 1; return b }), pack.ErrDamaged},
		{"no content", change(func([]byte) []byte { return []byte{} }), pack.ErrDamaged},
		{"another block's content", change(func([]byte) []byte {
			return new(pack.Encoder).Append(nil, []pack.Outcome{{Seq: 7}})
		}), pack.ErrDamaged},
		{"a newer format", change(func(b []byte) []byte { return sealedBlock(append([]byte{99}, b[1:len(b)-4]...)) }), pack.ErrNewer},
		{"a damaged page", damagePage, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "berth.db")
			s := withEvents(t, path, 900)
			saveSuccesses(t, s, "a", 1, 600)
			saveSuccesses(t, s, "b", 1, 600)
			tt.damage(t, s, path)
			s, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close() //nolint:errcheck // the file is damaged
			checkUnreadable(t, s, path, tt.want)
		})
	}
}

func checkUnreadable(t *testing.T, s *Store, path string, want error) {
	ctx := t.Context()
	_, err := s.Deliveries(ctx, 100)
	var bad *outcomes.Unreadable
	if !errors.As(err, &bad) || !fault.Is(err, fault.Unavailable) || want != nil && !errors.Is(err, want) ||
		!strings.Contains(err.Error(), "the outcomes of the handler a for events 1 to 512 cannot be read") {
		t.Errorf("Deliveries: got %v, want %v", err, want)
	}
	wantResult(t, s, "a", 513)
	wantResult(t, s, "b", 600)
	// Its events are delivered again, if they are above the cursor; the others are done.
	for handler, want := range map[string]int{"a": 600 - 512, "b": 600} {
		if b, err := s.LoadBacklog(ctx, handler); err != nil || len(b.Done) != want {
			t.Errorf("LoadBacklog(%s): %d done, %v, want %d", handler, len(b.Done), err, want)
		}
	}
	if found, err := logread.Check(ctx, path); err != nil || len(found.Outcomes) != 1 || found.Outcomes[0].Handler != "a" || found.Outcomes[0].First != 1 || found.Outcomes[0].Last != 512 {
		t.Errorf("Check: got %+v, %v", found, err)
	}
	// A replay of it begins after its newest outcome.
	if err := s.StartReplay(ctx, "a", 400, 450, time.Unix(3, 0)); err != nil {
		t.Error(err)
	}
	if b, err := s.LoadBacklog(ctx, "a"); err != nil || b.Replay == nil || !b.Replay.StartedAt.Equal(time.Unix(512, 5)) {
		t.Errorf("the replay: got %+v, %v", b.Replay, err)
	}
	// New outcomes of the same events and of later ones are stored beside it.
	save := func() error {
		_, _, err := s.SaveDeliveries(ctx, nil, successesOf("a", 510, 700), nil, nil)
		return err
	}
	if err := save(); want == nil && err != nil { // the recorder tries again
		err = save()
		if err != nil {
			t.Error(err)
		}
	} else if err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{510, 512, 513, 700} {
		if list, err := s.Deliveries(ctx, seq); seq > 512 && (err != nil || len(list) == 0) {
			t.Errorf("event %d: got %+v, %v", seq, list, err)
		}
	}
	// It is trimmed with its events.
	if n, err := s.Trim(ctx, 801); n != 800 || err != nil {
		t.Errorf("Trim: got %d, %v", n, err)
	}
	var left int
	if err := s.reader.QueryRow(`SELECT (SELECT count(*) FROM outcome_blocks) + (SELECT count(*) FROM deliveries)`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d blocks and deliveries of removed events remain, %v", left, err)
	}
}

// damagePage closes a store and damages the chain of pages of the block of handler a, in
// the middle of it.
func damagePage(t *testing.T, s *Store, path string) {
	t.Helper()
	damageBlock(t, s, path, func(content, block []byte) int {
		at := bytes.Index(content, block[len(block)/2:len(block)/2+8])
		return at / 4096 * 4096 // the page begins with the number of the next one
	})
}

// damageBlock closes a store and destroys the number of a page where at returns, in the
// file's content.
func damageBlock(t *testing.T, s *Store, path string, at func(content, block []byte) int) {
	t.Helper()
	var block []byte
	if err := s.writer.QueryRow(`SELECT block FROM outcome_blocks WHERE handler = 'a' AND first_seq = 1`).Scan(&block); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content := mustRead(t, path)
	binary.BigEndian.PutUint32(content[at(content, block):], 0xffffff)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTrimPassesOverADamagedBlock trims a block whose pages cannot be freed, without
// having read it before.
func TestTrimPassesOverADamagedBlock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	s := withEvents(t, path, 900)
	saveSuccesses(t, s, "a", 1, 600)
	saveSuccesses(t, s, "b", 1, 600)
	damageBlock(t, s, path, func(content, block []byte) int { // the number is behind the part that is in the table's page
		// The columns before it: handler, last_seq, newest_at in 6 bytes, outcomes.
		before := binary.BigEndian.AppendUint64(nil, uint64(time.Unix(512, 5).UnixNano()))
		before = append(append([]byte{'a', 2, 0}, before[2:]...), 2, 0)
		at, n := bytes.LastIndex(content, append(before, block[:16]...))+len(before), 16 // before it there may be a former copy
		for content[at+n] == block[n] {
			n++
		}
		return at + n
	})
	s, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the file is damaged
	total, failures := 0, 0
	for {
		n, err := s.Trim(t.Context(), 801)
		if total += n; err == nil {
			break
		}
		if failures++; !datafile.Damaged(err) || failures > 2 {
			t.Fatalf("failure %d: %v", failures, err)
		}
	}
	if total != 800 || failures == 0 {
		t.Errorf("%d events were trimmed after %d failures, want 800", total, failures)
	}
	wantResultGone(t, s, 700)
}

func wantResultGone(t *testing.T, s *Store, seq uint64) {
	t.Helper()
	if list, err := s.Deliveries(t.Context(), seq); err != nil || len(list) != 0 {
		t.Errorf("event %d: got %+v, %v", seq, list, err)
	}
}

// TestBlockOfALaterVersionIsKept has a block with a column that this version does not
// know: it is read, and nothing writes it again.
func TestBlockOfALaterVersionIsKept(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "berth.db")
	s := withEvents(t, path, 300)
	defer func() { s.Close() }()
	saveSuccesses(t, s, "a", 101, 110)
	var block []byte
	if err := s.writer.QueryRow(`SELECT block FROM outcome_blocks`).Scan(&block); err != nil {
		t.Fatal(err)
	}
	extended := withColumn(block, 99, "later")
	if _, err := s.writer.Exec(`UPDATE outcome_blocks SET block = ?`, extended); err != nil {
		t.Fatal(err)
	}
	for seq := uint64(101); seq <= 110; seq++ {
		wantResult(t, s, "a", seq)
	}
	saveSuccesses(t, s, "a", 50, 105) // 101 to 105 replace outcomes in it
	saveSuccesses(t, s, "a", 111, 150)
	for seq := uint64(50); seq <= 150; seq++ {
		wantResult(t, s, "a", seq)
	}
	if _, _, err := s.SaveDeliveries(ctx, nil, nil, []event.Delivery{{Handler: "b", Seq: 103, Status: event.StatusDead, At: time.Unix(1, 0)}}, nil); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Trim(ctx, 200); n != 198 || err != nil { // 103 is kept
		t.Errorf("Trim: got %d, %v", n, err)
	}
	wantResult(t, s, "a", 103)
	if list, err := s.Deliveries(ctx, 107); err != nil || len(list) != 0 {
		t.Errorf("of a removed event: got %+v, %v", list, err)
	}
	var got []byte
	if err := s.reader.QueryRow(`SELECT block FROM outcome_blocks WHERE first_seq = 101`).Scan(&got); err != nil || !bytes.Equal(got, extended) {
		t.Errorf("the block was changed, %v", err)
	}
	if _, err := s.Purge(ctx, event.DeadFilter{}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Trim(ctx, 202); n != 3 || err != nil {
		t.Errorf("Trim of the leftover: got %d, %v", n, err)
	}
	var left int
	if err := s.reader.QueryRow(`SELECT count(*) FROM outcome_blocks`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d blocks remain, %v", left, err)
	}
}

// withColumn returns a block with one more column.
func withColumn(b []byte, id byte, content string) []byte {
	at, skip := 1, func(at int) int { // a uvarint
		for b[at]&0x80 != 0 {
			at++
		}
		return at + 1
	}
	for range 3 { // count, first and extent
		at = skip(at)
	}
	columns := int(b[at])
	table := at + 1
	end := table
	for range 2 * columns {
		end = skip(end)
	}
	out := append(bytes.Clone(b[:at]), byte(columns+1))
	out = append(append(out, b[table:end]...), id, byte(len(content)))
	return sealedBlock(append(append(out, b[end:len(b)-4]...), content...))
}

// sealedBlock appends the checksum of a block.
func sealedBlock(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}
