package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestBackupOnFullDisk asks for a backup while the disk of the data directory has too little
// space for it: the answer says so, nothing is left behind and publishing continues. With
// space again the same host makes it. It needs a file system of its own, which root can
// mount; package backup tests the same for every user.
func TestBackupOnFullDisk(t *testing.T) {
	dir, config, _ := workplace(t)
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", data, "tmpfs", 0, "size=96m,mode=0700"); err != nil {
		t.Logf("no file system can be mounted (%v)", err)
		return
	}
	t.Cleanup(func() {
		if err := unix.Unmount(data, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	s := serve(t, dir, config)
	publishBatches(t, s, 500)
	ballast := filepath.Join(data, "ballast")
	write(t, ballast, make([]byte, 40<<20))
	resp, text, err := s.post("/api/v1/backup", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusInsufficientStorage || resp.Header.Get("Retry-After") == "" || !strings.Contains(string(text), "free some space") {
		t.Errorf("got %d %v: %s", resp.StatusCode, resp.Header, text)
	}
	if _, err := os.Stat(filepath.Join(data, ".backup")); !os.IsNotExist(err) {
		t.Errorf("the work directory: %v", err)
	}
	publishBatches(t, s, 600)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	made, err := s.Do(t.Context(), "POST", "/api/v1/backup", "application/x-tar", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer made.Body.Close()
	if n, err := io.Copy(io.Discard, made.Body); err != nil || n != made.ContentLength {
		t.Errorf("got %d of %d bytes, %v", n, made.ContentLength, err)
	}
	s.terminate(t)
}
