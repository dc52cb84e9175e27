package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/kv"
)

// holdWriter keeps the writer busy until release is called, so that later writes form one
// group.
func holdWriter(t *testing.T, s *Store) (release func()) {
	t.Helper()
	in, out, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := s.Write(context.Background(), func(*sql.Tx) ([]*event.Event, error) {
			close(in)
			<-out
			return nil, nil
		})
		done <- err
	}()
	<-in
	return func() {
		t.Helper()
		close(out)
		if err := <-done; err != nil {
			t.Errorf("the group before: %v", err)
		}
	}
}

// queue starts a write and waits until it is queued behind n others.
func queue(t *testing.T, s *Store, n int, write func() error) (result <-chan error) {
	t.Helper()
	answer := make(chan error, 1)
	go func() { answer <- write() }()
	for len(s.ops) < n+1 {
		select {
		case err := <-answer:
			t.Fatalf("write %d was answered without the writer: %v", n, err)
		default:
			runtime.Gosched()
		}
	}
	return answer
}

// kvContent is the state before and after the group of TestKVFaults.
type kvContent map[kv.Key]string

var (
	kvBefore = kvContent{{Plugin: "p", Name: "set"}: "1", {Plugin: "p", Name: "delete"}: "1", {Plugin: "p", Name: "cas"}: "1", {Plugin: "q", Name: "clear"}: "1"}
	kvAfter  = kvContent{{Plugin: "p", Name: "set"}: "22", {Plugin: "p", Name: "cas"}: "2", {Plugin: "p", Name: "new"}: ""}
)

// TestKVFaults fails every step of the transaction of a group of writes to plugins' state:
// all callers get the error, and readers see all of the group or nothing, as the file.
func TestKVFaults(t *testing.T) {
	for _, tt := range faultSteps {
		t.Run(tt.step, func(t *testing.T) { testKVFault(t, tt.step, tt.persisted) })
	}
}

func testKVFault(t *testing.T, step string, persisted bool) {
	ctx := t.Context()
	usage := int64(0)
	for k, v := range kvBefore {
		if k.Plugin == "p" {
			usage += int64(len(k.Name)+len(v)) + 128
		}
	}
	cfg := Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db"), KVBytes: usage + 4096}
	var armed trigger
	s, err := open(ctx, cfg, armed.at(step))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	for k, v := range kvBefore {
		if err := s.KVSet(ctx, k.Plugin, k.Name, []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	release := holdWriter(t, s)
	var results []<-chan error
	for i, write := range []func() error{
		func() error { return s.KVSet(ctx, "p", "set", []byte("2")) },
		func() error { return s.KVSet(ctx, "p", "set", []byte("22")) },
		func() error { return s.KVDelete(ctx, "p", "delete") },
		func() error { return s.KVCAS(ctx, "p", "cas", []byte("1"), []byte("2")) },
		func() error { return s.KVCAS(ctx, "p", "new", nil, nil) },
		func() error { return s.KVClear(ctx, "q") },
	} {
		results = append(results, queue(t, s, i, write))
	}
	switch step {
	case "begin": // the group before has begun
		armed.fail(1)
	case "in an operation":
		armed.fail(1 + len(results))
	default:
		armed.fail(2)
	}
	release()
	for i, r := range results {
		if err := <-r; !errors.Is(err, errInjected) {
			t.Errorf("write %d: got %v, want the injected error", i, err)
		}
	}
	want := kvBefore
	if persisted {
		want = kvAfter
	}
	checkKV(t, s, want)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = open(ctx, cfg, faults{}); err != nil {
		t.Fatal(err)
	}
	checkKV(t, s, want)
}

// checkKV checks the values and the quota of plugin p, without and with the cache.
func checkKV(t *testing.T, s *Store, want kvContent) {
	t.Helper()
	ctx := t.Context()
	usage := int64(0)
	for k, v := range want {
		if k.Plugin == "p" {
			usage += int64(len(k.Name)+len(v)) + 128
		}
	}
	for _, content := range []kvContent{kvBefore, kvAfter} {
		for k := range content {
			for range 2 {
				value, found, err := s.KVGet(ctx, k.Plugin, k.Name)
				if v, there := want[k]; string(value) != v || found != there || err != nil {
					t.Errorf("%v: got %q, %v, %v, want %q, %v", k, value, found, err, v, there)
				}
			}
			value, found, ok := s.KVCached(k.Plugin, k.Name)
			if v, there := want[k]; ok && (string(value) != v || found != there) {
				t.Errorf("%v: the cache has %q, %v, want %q, %v", k, value, found, v, there)
			}
		}
	}
	_, quota, err := s.KVUsage(ctx, "p")
	if err != nil {
		t.Fatal(err)
	}
	free := int(quota - usage - 128 - int64(len("fill")))
	if err := s.KVSet(ctx, "p", "fill", make([]byte, free+1)); !fault.Is(err, fault.Exhausted) {
		t.Errorf("one byte more than the quota: got %v", err)
	}
	if err := s.KVSet(ctx, "p", "fill", make([]byte, free)); err != nil {
		t.Errorf("as much as the quota: %v", err)
	}
	if err := s.KVDelete(ctx, "p", "fill"); err != nil {
		t.Error(err)
	}
}

// TestKVGroup writes to one key several times in one group: each write sees those before
// it, and one that fails alone changes nothing.
func TestKVGroup(t *testing.T) {
	ctx := t.Context()
	s, err := open(ctx, Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db"), KVBytes: 2*128 + 10}, faults{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	release := holdWriter(t, s)
	conflict, exhausted := fault.Conflict, fault.Exhausted
	var results []<-chan error
	steps := []struct {
		what string
		do   func() error
		want fault.Code
	}{
		{"absent", func() error { return s.KVCAS(ctx, "p", "k", nil, []byte("1")) }, ""},
		{"absent again", func() error { return s.KVCAS(ctx, "p", "k", nil, []byte("2")) }, conflict},
		{"the value of the group", func() error { return s.KVCAS(ctx, "p", "k", []byte("1"), []byte("3")) }, ""},
		{"over the quota", func() error { return s.KVSet(ctx, "p", "k", make([]byte, 200)) }, exhausted},
		{"clear", func() error { return s.KVClear(ctx, "p") }, ""},
		{"cleared", func() error { return s.KVCAS(ctx, "p", "k", []byte("3"), []byte("4")) }, conflict},
		{"absent after the clear", func() error { return s.KVCAS(ctx, "p", "k", nil, []byte("5")) }, ""},
		{"a second key", func() error { return s.KVSet(ctx, "p", "l", nil) }, ""},
		{"a third key", func() error { return s.KVSet(ctx, "p", "m", nil) }, exhausted},
		{"delete the second", func() error { return s.KVDelete(ctx, "p", "l") }, ""},
		{"the third again", func() error { return s.KVSet(ctx, "p", "m", []byte("6")) }, ""},
	}
	for i, step := range steps {
		results = append(results, queue(t, s, i, step.do))
	}
	release()
	for i, step := range steps {
		if err := <-results[i]; step.want == "" && err != nil || step.want != "" && !fault.Is(err, step.want) {
			t.Errorf("%s: got %v, want %q", step.what, err, step.want)
		}
	}
	for name, want := range map[string]string{"k": "5", "m": "6"} {
		if value, found, err := s.KVGet(ctx, "p", name); string(value) != want || !found || err != nil {
			t.Errorf("%s: got %q, %v, %v", name, value, found, err)
		}
	}
	if _, found, err := s.KVGet(ctx, "p", "l"); found || err != nil {
		t.Errorf("the deleted key: %v, %v", found, err)
	}
}

// TestKVReadsDuringCommit reads while a group is being committed, before its flush: a
// read returns the value before, from the file and from the cache, and a compare and set
// that cannot succeed is refused.
func TestKVReadsDuringCommit(t *testing.T) {
	ctx := t.Context()
	inCommit, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	armed := false // written before the writer is asked
	s, err := open(ctx, Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}, faults{commit: func() error {
		if armed {
			once.Do(func() { close(inCommit); <-proceed })
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, key := range []string{"k", "l"} {
		if err := s.KVSet(ctx, "p", key, []byte("old")); err != nil {
			t.Fatal(err)
		}
	}
	armed = true
	result := make(chan error, 1)
	go func() { result <- s.KVSet(ctx, "p", "k", []byte("new")) }()
	<-inCommit
	for _, key := range []string{"k", "l"} {
		if value, _, err := s.KVGet(ctx, "p", key); string(value) != "old" || err != nil {
			t.Errorf("%s during the commit: got %q, %v", key, value, err)
		}
	}
	if err := s.KVCAS(ctx, "p", "l", []byte("another"), []byte("x")); !fault.Is(err, fault.Conflict) {
		t.Errorf("compare and set during the commit: got %v", err)
	}
	close(proceed)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if value, _, err := s.KVGet(ctx, "p", "k"); string(value) != "new" || err != nil {
		t.Errorf("after the commit: got %q, %v", value, err)
	}
}

// TestKVNewest reads the newest value of a key while its write is queued: whether it is
// stored is what its caller gets.
func TestKVNewest(t *testing.T) {
	ctx := t.Context()
	for _, fails := range []bool{false, true} {
		var armed trigger
		s, err := open(ctx, Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}, armed.at("commit"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, key := range []string{"k", "l", "m"} {
			if err := s.KVSet(ctx, "p", key, []byte("0")); err != nil {
				t.Fatal(err)
			}
		}
		release := holdWriter(t, s)
		results := []<-chan error{
			queue(t, s, 0, func() error { return s.KVCAS(ctx, "p", "k", []byte("0"), []byte("1")) }),
			queue(t, s, 1, func() error { return s.KVCAS(ctx, "p", "k", []byte("1"), []byte("2")) }), // of a queued value
			queue(t, s, 2, func() error { return s.KVDelete(ctx, "p", "l") }),
		}
		withdrawn, cancel := context.WithCancel(ctx)
		given := queue(t, s, 3, func() error { return s.KVSet(withdrawn, "p", "m", []byte("1")) })
		var stored [3]func(context.Context) error
		for i, want := range []struct {
			key   string
			value string
			found bool
		}{{"k", "2", true}, {"l", "", false}, {"m", "1", true}} {
			value, found, ok, wait := s.KVNewest("p", want.key)
			if stored[i] = wait; string(value) != want.value || found != want.found || !ok || wait == nil {
				t.Fatalf("%s: got %q, %v, %v, a wait: %v", want.key, value, found, ok, wait != nil)
			}
			if committed, _, ok := s.KVCached("p", want.key); string(committed) != "0" || !ok {
				t.Errorf("%s: the committed value is %q, %v", want.key, committed, ok)
			}
		}
		ended, end := context.WithCancel(ctx)
		end()
		if err := stored[0](ended); !errors.Is(err, context.Canceled) {
			t.Errorf("a wait that is given up: %v", err)
		}
		cancel()
		if err := <-given; !errors.Is(err, context.Canceled) {
			t.Errorf("the write that is given up: %v", err)
		}
		if err := stored[2](ctx); err == nil {
			t.Error("the value of a write that was given up is called stored")
		}
		if value, _, _, wait := s.KVNewest("p", "m"); string(value) != "0" || wait != nil {
			t.Errorf("after that write: got %q, a wait: %v", value, wait != nil)
		}
		if fails {
			armed.fail(2)
		}
		release()
		for i, r := range results {
			if err := <-r; (err != nil) != fails {
				t.Errorf("write %d: %v", i, err)
			}
		}
		for _, wait := range stored[:2] {
			if err := wait(ctx); (err != nil) != fails || fails && !errors.Is(err, errInjected) {
				t.Errorf("fails: %v; got %v", fails, err)
			}
		}
		want := "2"
		if fails {
			want = "0"
		}
		if value, _, err := s.KVGet(ctx, "p", "k"); string(value) != want || err != nil {
			t.Errorf("k: got %q, %v, want %q", value, err, want)
		}
	}
}

// TestKVCountsThroughFailedCommits counts in one key in many goroutines, which read the
// newest value, while every fourth commit fails: each number is acknowledged once, and a
// value whose write has failed is never called stored.
func TestKVCountsThroughFailedCommits(t *testing.T) {
	ctx := t.Context()
	var commits atomic.Int64
	s, err := open(ctx, Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}, faults{commit: func() error {
		if commits.Add(1)%4 == 0 {
			return errInjected
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const counters, each = 16, 30
	var acknowledged [counters*each + 1]atomic.Int32
	var wg sync.WaitGroup
	for range counters {
		wg.Go(func() {
			for n := 0; n < each; {
				old, found, ok, stored := s.KVNewest("p", "n")
				if !ok {
					var err error
					if old, found, err = s.KVGet(ctx, "p", "n"); err != nil {
						t.Error(err)
						return
					}
				}
				count := uint16(0)
				if found {
					count = binary.BigEndian.Uint16(old)
				}
				err := s.KVCAS(ctx, "p", "n", old, binary.BigEndian.AppendUint16(nil, count+1))
				switch {
				case err == nil:
					acknowledged[count+1].Add(1)
					n++
				case !fault.Is(err, fault.Conflict) && !errors.Is(err, errInjected):
					t.Error(err)
					return
				}
				if stored == nil {
					continue
				}
				if err := stored(ctx); err == nil {
					if now, _, err := s.KVGet(ctx, "p", "n"); err != nil || binary.BigEndian.Uint16(now) < count {
						t.Errorf("%d was stored, and now there is %v, %v", count, now, err)
					}
				}
			}
		})
	}
	wg.Wait()
	for n := 1; n <= counters*each; n++ {
		if got := acknowledged[n].Load(); got != 1 {
			t.Errorf("%d was acknowledged %d times", n, got)
		}
	}
	if value, _, err := s.KVGet(ctx, "p", "n"); err != nil || binary.BigEndian.Uint16(value) != counters*each {
		t.Errorf("got %v, %v, want %d", value, err, counters*each)
	}
}
