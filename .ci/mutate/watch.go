package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxMemory bounds the resident memory of the tests of one mutant, in bytes:
// a mutant's endless loop must not exhaust the machine's.
const maxMemory = 3 << 30

var errMemory = errors.New("the tests took too much memory")

// watch waits for the leader of a session and ends it when ctx is over or its
// processes use more than maxMemory. No process of the session is left.
func watch(ctx context.Context, session int, done <-chan error) error {
	defer end(session)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			end(session)
			<-done
			return ctx.Err()
		case <-tick.C:
			if memory(session) > maxMemory {
				end(session)
				<-done
				return errMemory
			}
		}
	}
}

// end kills the session until no process of it is left, as one may fork meanwhile.
func end(session int) {
	syscall.Kill(-session, syscall.SIGKILL)
	for range 100 {
		left := members(session)
		if len(left) == 0 {
			return
		}
		for _, pid := range left {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// members are the processes of a session that are not zombies. Without /proc there are none:
// then end kills the process group only.
func members(session int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var pids []int
	for _, path := range stats {
		f, ok := stat(path)
		if ok && f[3] == strconv.Itoa(session) && f[0] != "Z" {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

func memory(session int) (bytes int) {
	for _, pid := range members(session) {
		if f, ok := stat("/proc/" + strconv.Itoa(pid) + "/stat"); ok {
			pages, _ := strconv.Atoi(f[21])
			bytes += pages * os.Getpagesize()
		}
	}
	return bytes
}

// stat returns the fields after the command's name: state, parent, group, session, ...
func stat(path string) ([]string, bool) {
	b, err := os.ReadFile(path)
	_, fields, ok := strings.Cut(string(b), ") ")
	f := strings.Fields(fields)
	return f, err == nil && ok && len(f) > 21
}
