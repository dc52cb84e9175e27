package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a new terminal: what is written to shown appears in read.
func openTerminal(t *testing.T) (read, shown *os.File) {
	t.Helper()
	read, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = read.Close() })
	if err := unix.IoctlSetPointerInt(int(read.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(read.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	shown, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = shown.Close() })
	return read, shown
}

// TestStartOnTerminal: a person who starts the host reads text, and a link to the console that
// logs in once.
func TestStartOnTerminal(t *testing.T) {
	dir, config, _ := workplace(t)
	read, shown := openTerminal(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Dir, cmd.Stderr = dir, shown
	cmd.Env = append(os.Environ(), fmt.Sprintf(`%s=["serve","--listen","127.0.0.1:0","--config",%q,"--data-dir",%q]`, serveVariable, config, filepath.Join(dir, "data")))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	defer func() {
		_ = cmd.Process.Kill()
		<-done
	}()
	lines := make(chan string, 1000)
	go func() { // ends with the terminal
		defer close(lines)
		for s := bufio.NewScanner(read); s.Scan(); {
			lines <- strings.TrimSuffix(s.Text(), "\r")
		}
	}()
	link := regexp.MustCompile(`^console  (http://127\.0\.0\.1:\d+)/login#code=(\S+)$`)
	up := false
	for line := range lines {
		if strings.HasPrefix(line, "time=") && strings.Contains(line, `msg="berth is up"`) {
			up = true
		}
		found := link.FindStringSubmatch(line)
		if found == nil {
			continue
		}
		if !up {
			t.Error("the link comes before the host is up, or its log is not text")
		}
		for _, want := range []int{http.StatusOK, http.StatusUnauthorized} { // it logs in once
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, found[1]+"/api/v1/session", strings.NewReader(fmt.Sprintf(`{"code":%q}`, found[2])))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Berth-Console", "1")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != want && (want != http.StatusOK || resp.StatusCode/100 != 2) {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, want, text)
			}
		}
		return
	}
	t.Error("the host has ended")
}
