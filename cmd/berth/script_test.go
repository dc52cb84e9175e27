package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/testdata/hostile"
)

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "curl" {
		if err := runCurl(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if line := os.Getenv(serveVariable); line != "" {
		var args []string
		if err := json.Unmarshal([]byte(line), &args); err != nil {
			panic(err)
		}
		beBerth(args)
	}
	testscript.Main(pgtest.Wrap(m), map[string]func(){"berth": func() { beBerth(os.Args[1:]) }})
}

// beBerth makes this process the real binary.
func beBerth(args []string) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(doMain(ctx, args, os.Stdin, os.Stdout, os.Stderr))
}

// testRoot returns every command, without streams.
func testRoot() *cobra.Command {
	return rootCommand(&command.Env{Console: &console.Console{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}})
}

// atTerminal runs a command line for a person who types answer.
func atTerminal(t *testing.T, answer string, stdout, stderr io.Writer, line string) error {
	t.Helper()
	root := rootCommand(&command.Env{Console: &console.Console{In: strings.NewReader(answer), Out: stdout, Err: stderr, AtTerminal: true}})
	root.SetArgs(strings.Fields(line))
	return root.ExecuteContext(t.Context())
}

// testTimeout bounds every wait of these tests: reached only by a hang.
const testTimeout = 60 * time.Second

// TestScripts runs the real binary through testdata/script.
func TestScripts(t *testing.T) {
	guests, err := filepath.Abs("../../testdata/guests")
	if err != nil {
		t.Fatal(err)
	}
	seed, err := filepath.Abs("../../testdata/config/seed.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	caches := strings.Fields(string(text)) // a script has no home directory
	if len(caches) != 2 {
		t.Fatalf("go env: %q", text)
	}
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, "GOCACHE="+caches[0], "GOMODCACHE="+caches[1])
			e.Vars = append(e.Vars, "REPO="+repository, "GUESTS="+guests, "SEED="+seed, fmt.Sprintf("ECHO_SHA=%x", sha256.Sum256(guest(t, "echo"))),
				fmt.Sprintf("FIXED_SHA=%x", sha256.Sum256(guest(t, "config_echo"))), "BERTH_DATA_DIR="+filepath.Join(e.WorkDir, "data"))
			for _, months := range []int{6, 7} {
				e.Setenv(fmt.Sprintf("IN_%d_MONTHS", months), time.Now().UTC().Add(time.Duration(months)*30*24*time.Hour).Format(time.RFC3339))
			}
			return os.WriteFile(filepath.Join(e.WorkDir, "panics.wasm"), hostile.Named("panics_as_go").Wasm, 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"until": until, "terminate": terminate, "hangup": hangup, "exits": exits, "damage": damage},
	})
}

// until runs a command again and again until its output matches a pattern:
// until PATTERN COMMAND ARG ..., or with ! until it does not. The last output is
// left for stdout.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: [!] until PATTERN COMMAND ARG ...")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	deadline := time.Now().Add(testTimeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout")
		if err == nil && want.MatchString(out) != neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%v: waited in vain for %q (negated: %v); last: %v\n%s", args[1:], args[0], neg, err, out)
		}
		<-tick.C
	}
}

// exits runs a command that must end with an exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG ...")
	}
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || strconv.Itoa(exit.ExitCode()) != args[0] {
		ts.Fatalf("%v: got %v, want exit code %s", args[1:], err, args[0])
	}
}

// damage overwrites a text, and what is near it, in a file: damage FILE TEXT.
func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: damage FILE TEXT")
	}
	content := []byte(ts.ReadFile(args[0]))
	at := bytes.Index(content, []byte(args[1]))
	if at < 0 {
		ts.Fatalf("%s does not have %q", args[0], args[1])
	}
	clear(content[max(0, at-100) : at+len(args[1])])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), content, 0o600))
}

// hangup sends SIGHUP to every command in the background.
func hangup(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: hangup")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGHUP))
	}
}

// terminate sends SIGTERM to every command in the background.
func terminate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: terminate")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	}
}
