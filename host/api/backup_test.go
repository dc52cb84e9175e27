package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/api/ports"
	"github.com/berth-host/berth/host/fault"
)

// backups makes backups of a text.
type backups struct {
	content []byte
	err     error // of Make
	failed  error // of Write, after half of the content

	mu            sync.Mutex
	opened, ended int
	closed        chan struct{} // nil, or signalled by Close
}

func (b *backups) Make(context.Context) (ports.Backup, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return nil, b.err
	}
	b.opened++
	return madeBackup{b}, nil
}

type madeBackup struct{ *backups }

func (madeBackup) Name() string  { return "berth-1.tar" }
func (b madeBackup) Size() int64 { return int64(len(b.content)) }
func (madeBackup) Summary() any  { return map[string]int{"files": 3} }

func (b madeBackup) Write(to io.Writer) error {
	content := b.content
	if b.failed != nil {
		content = content[:len(content)/2]
	}
	for part := range slices.Chunk(content, 1<<16) {
		if _, err := to.Write(part); err != nil {
			return err
		}
	}
	return b.failed
}

func (b madeBackup) Close() error {
	b.mu.Lock()
	b.ended++
	b.mu.Unlock()
	if b.closed != nil {
		b.closed <- struct{}{}
	}
	return nil
}

// TestBackupIsSentAndAudited: the answer is the archive with its length, and the audit log
// has the request and what was in the backup.
func TestBackupIsSentAndAudited(t *testing.T) {
	cfg, log := setup(t).cfg, &auditLog{}
	made := &backups{content: bytes.Repeat([]byte("0123456789"), 50_000)}
	cfg.Admin.Backups, cfg.Admin.Audit = made, log
	w := call(newServer(t, cfg).Handler(), "POST", "/api/v1/backup", "")
	if w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), made.content) || made.ended != 1 {
		t.Errorf("got %d, %d bytes, closed %d times", w.Code, w.Body.Len(), made.ended)
	}
	for name, want := range map[string]string{"Content-Type": "application/x-tar", "Content-Length": "500000",
		"Content-Disposition": `attachment; filename="berth-1.tar"`, "Cache-Control": "no-store"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if len(log.records) != 2 || log.records[1].Action != "backup" || log.records[1].Result != "ok" || string(log.records[1].After) != `{"files":3}` {
		t.Errorf("the audit log has %+v", log.records)
	}
}

// TestBackupIsRefused: without the admin token, with a parameter, without a record, and when
// none can be made, the answer is a problem and nothing is open.
func TestBackupIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name, path, token string
		err, record       error
		status            int
		want              string
	}{
		{"scope", "/api/v1/backup", "narrow", nil, nil, 403, "only the admin token"},
		{"parameter", "/api/v1/backup?path=x", secret, nil, nil, 400, "path"},
		{"under way", "/api/v1/backup", secret, fault.New(fault.Conflict, "another backup is under way"), nil, 409, "under way"},
		{"full disk", "/api/v1/backup", secret, fault.New(fault.Exhausted, "free some space"), nil, 507, "free some space"},
		{"damage", "/api/v1/backup", secret, fault.New(fault.Unavailable, "the store is damaged"), nil, 503, "the store is damaged"},
		{"no audit", "/api/v1/backup", secret, nil, fault.New(fault.Exhausted, "full"), 507, "could not be recorded"},
	} {
		cfg := setup(t).cfg
		made := &backups{content: []byte("x"), err: tt.err}
		cfg.Admin.Backups = made
		if tt.record != nil {
			cfg.Admin.Audit = &auditLog{failAt: 1, err: tt.record}
		}
		w := call(newServer(t, cfg).Handler(), "POST", tt.path, "", "Authorization: Bearer "+tt.token)
		if p := problemIn(t, w); w.Code != tt.status || !strings.Contains(p.Field+" "+p.Detail, tt.want) || made.opened != made.ended {
			t.Errorf("%s: got %d %+v, %d opened, %d closed", tt.name, w.Code, p, made.opened, made.ended)
		}
	}
	if w := call(newServer(t, setup(t).cfg).Handler(), "GET", "/api/v1/backup", ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: got %d", w.Code)
	}
}

// TestInterruptedBackupIsShort: when a backup fails on its way, the reader gets an error
// instead of the end, and the audit log says that it failed.
func TestInterruptedBackupIsShort(t *testing.T) {
	cfg, log := setup(t).cfg, &auditLog{}
	made := &backups{content: make([]byte, 1<<20), failed: errors.New("the disk is broken"), closed: make(chan struct{}, 1)}
	cfg.Admin.Backups, cfg.Admin.Audit = made, log
	s := serve(t, cfg)
	resp := s.post(t, "/api/v1/backup")
	n, err := io.Copy(io.Discard, resp.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) || n >= resp.ContentLength {
		t.Errorf("got %d of %d bytes, %v", n, resp.ContentLength, err)
	}
	<-made.closed
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); ; {
		log.mu.Lock()
		records := slices.Clone(log.records)
		log.mu.Unlock()
		if len(records) == 2 {
			if records[1].Result != "failed" {
				t.Errorf("the audit log has %+v", records)
			}
			return
		}
		select {
		case <-deadline:
			t.Fatalf("the audit log has %+v", records)
		case <-tick.C:
		}
	}
}

// post sends a request without a body.
func (r *running) post(t *testing.T, path string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// TestStalledReaderEndsBackup: a reader that takes nothing is disconnected after BackupStall,
// and the backup is closed. So it is when the reader disconnects, and when the host closes.
func TestStalledReaderEndsBackup(t *testing.T) {
	for name, end := range map[string]func(s *running, resp *http.Response){
		"stalled":      func(*running, *http.Response) {},
		"disconnected": func(_ *running, resp *http.Response) { resp.Body.Close() },
		"closing":      func(s *running, _ *http.Response) { s.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := setup(t).cfg
			cfg.Limits.BackupStall = time.Minute
			if name != "disconnected" { // one write is under way when the host closes
				cfg.Limits.BackupStall = 50 * time.Millisecond
			}
			made := &backups{content: make([]byte, 64<<20), closed: make(chan struct{}, 1)} // more than sockets buffer
			cfg.Admin.Backups = made
			s := serve(t, cfg)
			resp := s.post(t, "/api/v1/backup")
			end(s, resp)
			select {
			case <-made.closed:
			case <-time.After(time.Minute):
				t.Fatal("the backup is still open")
			}
		})
	}
}
