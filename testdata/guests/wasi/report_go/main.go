// A stdio guest on Go's standard library: its result reports how the library's
// packages use WASI preview 1.
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

func main() {
	verbose := flag.Bool("v", false, "tell more")
	flag.Parse()
	answer := map[string]any{"args": os.Args, "verbose": *verbose, "narg": flag.NArg(), "environ": len(os.Environ())}
	text := func(name string, err error) {
		var errno syscall.Errno
		switch {
		case err == nil:
			answer[name] = "ok"
		case errors.As(err, &errno):
			answer[name] = errno.Error()
		default:
			answer[name] = err.Error()
		}
	}
	info, err := os.Stdin.Stat()
	text("stat", err)
	answer["terminal"] = info.Mode()&fs.ModeCharDevice != 0
	out, _ := os.Stdout.Stat()
	answer["same_file"] = os.SameFile(info, out)
	_, err = os.Stdin.Seek(0, io.SeekCurrent)
	text("seek", err)
	text("sync", os.Stdout.Sync())
	_, err = os.Stdin.Write([]byte("x"))
	text("write_stdin", err)

	event, err := io.ReadAll(os.Stdin)
	text("read", err)
	answer["json"] = json.Valid(event)
	n, err := os.Stdin.Read(make([]byte, 8))
	answer["end"] = n == 0 && err == io.EOF

	_, err = os.ReadFile("/etc/passwd")
	answer["file"] = err != nil
	_, err = os.ReadDir("/")
	answer["directory"] = err != nil
	_, err = os.Create("made")
	answer["create"] = err != nil
	_, err = os.Hostname()
	answer["hostname"] = err != nil

	before := time.Now()
	select {
	case <-time.After(2 * time.Millisecond):
	}
	answer["slept"] = time.Since(before) >= 2*time.Millisecond
	answer["year"] = before.Year() >= 2023

	a, b := make([]byte, 16), make([]byte, 16)
	_, _ = rand.Read(a)
	_, _ = rand.Read(b)
	answer["random"] = !bytes.Equal(a, b)

	text("close", os.Stdin.Close())
	_, err = syscall.Read(0, a)
	text("read_closed", err)
	_ = json.NewEncoder(os.Stdout).Encode(answer)
}
