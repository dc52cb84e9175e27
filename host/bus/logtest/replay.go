package logtest

import (
	"fmt"
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// backlogText shows a backlog as "cursor 5 open [3] done [8 9] replay 1-4 resume 5".
func backlogText(t testing.TB, s bus.Engine, handler string) string {
	t.Helper()
	b, err := s.LoadBacklog(t.Context(), handler)
	if err != nil {
		t.Fatalf("LoadBacklog: %v", err)
	}
	var open []uint64
	for _, d := range b.Open {
		open = append(open, d.Seq)
	}
	text := fmt.Sprintf("cursor %d open %v done %v", b.Cursor, open, b.Done)
	if r := b.Replay; r != nil {
		text += fmt.Sprintf(" replay %d-%d resume %d", r.From, r.To, r.Resume)
	}
	return text
}

// standing appends twelve events and puts the handlers a and b at 8: 3 waits for a
// retry, 5 is dead, 10 is done, 11 waits for a retry, the others up to 8 are ok.
func standing(t *testing.T, s bus.Engine) (save func(handler string, seq uint64, st event.Status, seconds int64), cursor func(uint64)) {
	mustAppend(t, s, Numbered(t, "k", 12)...)
	save = func(handler string, seq uint64, st event.Status, seconds int64) {
		mustSave(t, s, event.Delivery{Handler: handler, Seq: seq, Status: st, Attempts: 1, At: at(seconds)})
	}
	cursor = func(seq uint64) {
		t.Helper()
		if err := s.SetCursor(t.Context(), event.Cursor{Name: "handler/a", Seq: seq}); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range []string{"a", "b"} {
		for seq := range uint64(8) {
			save(h, seq+1, event.StatusOK, 1)
		}
		save(h, 3, event.StatusRetrying, 1)
		save(h, 5, event.StatusDead, 1)
		save(h, 10, event.StatusOK, 1)
		save(h, 11, event.StatusRetrying, 1)
		if err := s.SetCursor(t.Context(), event.Cursor{Name: "handler/" + h, Seq: 8}); err != nil {
			t.Fatal(err)
		}
	}
	return save, cursor
}

func wantBacklog(t *testing.T, s bus.Engine, handler, want string) {
	t.Helper()
	if got := backlogText(t, s, handler); got != want {
		t.Errorf("%s: got %s, want %s", handler, got, want)
	}
}

func start(t *testing.T, s bus.Engine, from, to uint64, seconds int64) {
	t.Helper()
	if err := s.StartReplay(t.Context(), "a", from, to, at(seconds)); err != nil {
		t.Fatalf("StartReplay: %v", err)
	}
}

func replay(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	save, cursor := standing(t, s)
	const before = "cursor 8 open [3 11] done [10]"
	wantBacklog(t, s, "a", before)
	WantCode(t, "an unknown handler", s.StartReplay(ctx, "c", 1, 2, at(100)), fault.NotFound)
	WantCode(t, "from 0", s.StartReplay(ctx, "a", 0, 2, at(100)), fault.Invalid)
	WantCode(t, "from beyond to", s.StartReplay(ctx, "a", 3, 2, at(100)), fault.Invalid)
	wantBacklog(t, s, "a", before)

	start(t, s, 2, 6, 100)
	wantBacklog(t, s, "a", "cursor 1 open [3 11] done [10] replay 2-6 resume 8")
	wantBacklog(t, s, "b", before)
	// Delivered out of order, at the moment the replay began, which does not count, and
	// later; and one that is not final.
	save("a", 2, event.StatusOK, 100)
	save("a", 4, event.StatusOK, 101)
	save("a", 5, event.StatusDead, 102)
	save("a", 6, event.StatusRetrying, 103)
	wantBacklog(t, s, "a", "cursor 1 open [3 6 11] done [4 5 10] replay 2-6 resume 8")
	if b, err := s.LoadBacklog(ctx, "a"); err != nil || b.Replay == nil || !b.Replay.StartedAt.Equal(at(100)) {
		t.Errorf("got %+v, %v", b.Replay, err)
	}
	cursor(5)
	wantBacklog(t, s, "a", "cursor 5 open [3 6 11] done [10] replay 2-6 resume 8")
	cursor(8) // the replay has ended
	wantBacklog(t, s, "a", "cursor 8 open [3 6 11] done [10]")
	if got := allDead(t, s, event.DeadFilter{Handler: "a"}); got != "a5" {
		t.Errorf("dead: %s", got)
	}

	// Up to beyond the former cursor: events finished out of order come again, too.
	start(t, s, 7, 12, 200)
	wantBacklog(t, s, "a", "cursor 6 open [3 6 11] done [] replay 7-12 resume 8")
	save("a", 12, event.StatusOK, 201)
	cursor(9)
	wantBacklog(t, s, "a", "cursor 9 open [3 6 11] done [12] replay 7-12 resume 8")
	cursor(12)
	wantBacklog(t, s, "a", "cursor 12 open [3 6 11] done []")
	if err := s.ForgetHandler(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if err := s.SetCursor(ctx, event.Cursor{Name: "handler/a", Seq: 7}); err != nil {
		t.Fatal(err)
	}
	wantBacklog(t, s, "a", "cursor 7 open [] done []")
}

func replayAgain(t *testing.T, s bus.Engine) {
	save, cursor := standing(t, s)
	start(t, s, 2, 6, 100)
	save("a", 2, event.StatusOK, 101)
	save("a", 4, event.StatusOK, 101)
	cursor(2)
	start(t, s, 3, 5, 200)
	wantBacklog(t, s, "a", "cursor 2 open [3 11] done [10] replay 3-5 resume 8")
	start(t, s, 7, 7, 300) // replaces the rest of 3-5
	wantBacklog(t, s, "a", "cursor 6 open [3 11] done [10] replay 7-7 resume 8")
	// Beyond the cursor before all of them: 9 was never delivered and must be
	// delivered.
	start(t, s, 1, 10, 400)
	cursor(9)
	start(t, s, 2, 3, 500)
	wantBacklog(t, s, "a", "cursor 1 open [3 11] done [10] replay 2-3 resume 9")
	start(t, s, 4, 12, 600)
	cursor(5)
	start(t, s, 12, 12, 700)
	wantBacklog(t, s, "a", "cursor 9 open [3 11] done [10] replay 12-12 resume 9")
}

func replayAhead(t *testing.T, s bus.Engine) {
	save, _ := standing(t, s)
	save("a", 12, event.StatusOK, 1)
	start(t, s, 11, 12, 100)
	wantBacklog(t, s, "a", "cursor 8 open [3 11] done [10] replay 11-12 resume 8")
	save("a", 12, event.StatusOK, 101)
	wantBacklog(t, s, "a", "cursor 8 open [3 11] done [10 12] replay 11-12 resume 8")
}

// replayEarlier starts a replay while outcomes seem to be of the future, because the
// clock was set back: they still precede it.
func replayEarlier(t *testing.T, s bus.Engine) {
	save, _ := standing(t, s)
	save("a", 2, event.StatusOK, 500)
	save("a", 4, event.StatusDead, 600)
	save("a", 7, event.StatusOK, 700)
	start(t, s, 2, 6, 100)
	wantBacklog(t, s, "a", "cursor 1 open [3 11] done [10] replay 2-6 resume 8")
	save("a", 2, event.StatusOK, 601)
	wantBacklog(t, s, "a", "cursor 1 open [3 11] done [2 10] replay 2-6 resume 8")
}
