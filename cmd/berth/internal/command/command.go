// Package command has what the commands share: their environment, their connection to the
// host, and how they fail. Read command.go first; fetch.go sends requests and shows answers.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/console"
)

// Exit codes.
const (
	ExitOK     = 0
	ExitFailed = 1
	ExitUsage  = 2
)

// ExitError is a failure with an exit code of its own.
type ExitError struct {
	error
	Code int
}

// NewExitError returns a failure with this exit code.
func NewExitError(err error, code int) error { return ExitError{err, code} }

// UsageError is an invalid command line.
type UsageError struct{ error }

// Usage returns an error about the command line.
func Usage(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }

// Code returns the exit code of an error.
func Code(err error) int {
	var usage UsageError
	var own ExitError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &usage):
		return ExitUsage
	case errors.As(err, &own):
		return own.Code
	}
	return ExitFailed
}

// Env is the environment of one command line.
type Env struct {
	*console.Console
	Version string // of this program
	DataDir string // --data-dir
	JSON    bool   // --json
}

// Group is a command that only has subcommands.
func Group(use, short string, subs ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: use, Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return Usage("unknown command %q for %q", args[0], cmd.CommandPath())
			}
			return cmd.Help()
		},
	}
	g.AddCommand(subs...)
	return g
}

// Prepare makes the checks of the arguments and flags of a command, and of all below it,
// usage errors.
func Prepare(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return UsageError{err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		Prepare(sub)
	}
}

// CheckFlags refuses missing flags, flags that exclude each other, and empty ones, which a script passes when its variable
// is not set: no flag would mean all, and a purge of one subject would purge every subject.
func CheckFlags(cmd *cobra.Command) (err error) {
	if err := cmd.ValidateRequiredFlags(); err != nil {
		return UsageError{err}
	}
	if err := cmd.ValidateFlagGroups(); err != nil {
		return UsageError{err}
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if err == nil && f.Changed && f.Value.String() == "" {
			err = Usage("--%s is empty; leave it out for none", f.Name)
		}
	})
	return err
}

// InHours returns a duration that begins with days, such as 7d or 1d12h, in hours, as the API
// takes it, and any other text as it is.
func InHours(duration string) string {
	days, clock, found := strings.Cut(duration, "d")
	n, err := strconv.ParseUint(days, 10, 16)
	if !found || err != nil {
		return duration
	}
	return fmt.Sprintf("%dh%s", 24*n, clock)
}

// ReadFile reads a file, or standard input for "-" and "", of at most limit bytes. It removes
// a byte order mark.
func (e *Env) ReadFile(path string, limit int64) ([]byte, error) {
	in := e.In
	if path != "-" && path != "" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s is over the limit of %d bytes", path, limit)
	}
	return abi.TrimBOM(text), err
}

// New returns a command. Its use line defines how many arguments it takes: NAME is required,
// [NAME] optional, and a name with ... may be repeated.
func New(use, short string, run func(ctx context.Context, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: positional(use),
		RunE: func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), args) }}
}

// positional returns the check of the arguments of a use line.
func positional(use string) cobra.PositionalArgs {
	required, optional := 0, 0
	for _, word := range strings.Fields(use)[1:] {
		switch {
		case strings.HasSuffix(word, "...") && word[0] == '[':
			return cobra.MinimumNArgs(required)
		case strings.HasSuffix(word, "..."):
			return cobra.MinimumNArgs(required + 1)
		case word[0] == '-' || word[0] == '(': // flags follow
			return rangeOf(required, optional)
		case word[0] == '[':
			optional++
		default:
			required++
		}
	}
	return rangeOf(required, optional)
}

func rangeOf(required, optional int) cobra.PositionalArgs {
	switch {
	case optional > 0 && required > 0:
		return cobra.RangeArgs(required, required+optional)
	case optional > 0:
		return cobra.MaximumNArgs(optional)
	case required > 0:
		return cobra.ExactArgs(required)
	}
	return cobra.NoArgs
}

// Remote is New, with the flags of a command that calls a running host.
func (e *Env) Remote(use, short string, run func(ctx context.Context, args []string) error) *cobra.Command {
	return e.flags(New(use, short, run), "print the answer of the API as JSON")
}

// Local is New, with the flags of a command that works on the data directory.
func (e *Env) Local(use, short string, run func(ctx context.Context, args []string) error) *cobra.Command {
	return e.flags(New(use, short, run), "print JSON")
}

func (e *Env) flags(cmd *cobra.Command, json string) *cobra.Command {
	cmd.Flags().StringVar(&e.DataDir, "data-dir", "", "data directory of the host (default: $BERTH_DATA_DIR, or data)")
	cmd.Flags().BoolVar(&e.JSON, "json", false, json)
	return cmd
}

// HandlerFlag adds --handler, which selects what is about a plugin. --plugin, as other commands
// call it, is the same.
func HandlerFlag(cmd *cobra.Command, value *string, usage string) {
	cmd.Flags().StringVar(value, "handler", "", usage)
	cmd.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "plugin" {
			name = "handler"
		}
		return pflag.NormalizedName(name)
	})
}

// Paging are the flags of a page of a list.
type Paging struct {
	limit  int
	cursor string
}

// Flags adds the flags.
func (p *Paging) Flags(cmd *cobra.Command, standard int) {
	cmd.Flags().IntVar(&p.limit, "limit", standard, "at most this many")
	cmd.Flags().StringVar(&p.cursor, "cursor", "", "cursor of the next page, which the page before has printed")
}

// DataDirectory returns the data directory of the command.
func (e *Env) DataDirectory() string {
	if e.DataDir != "" {
		return e.DataDir
	}
	if dir := os.Getenv("BERTH_DATA_DIR"); dir != "" {
		return dir
	}
	return "data"
}

// NeedDataDir refuses a data directory that no host has created.
func (e *Env) NeedDataDir() error {
	dir := e.DataDirectory()
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("there is no data directory %s: start a host once, or say which with --data-dir or BERTH_DATA_DIR", dir)
	}
	return nil
}

// OnlyHere refuses a command that changes a data directory when BERTH_URL names another host,
// and notes the directory. what says why.
func (e *Env) OnlyHere(what string) error {
	dir, err := filepath.Abs(e.DataDirectory())
	if err != nil {
		return err
	}
	if e.Elsewhere() && e.DataDir == "" {
		return fmt.Errorf("BERTH_URL is set, and %s: do it on that host's machine; or unset BERTH_URL, or give --data-dir, to do it in %s",
			what, dir)
	}
	if err := e.NeedDataDir(); err != nil {
		return err
	}
	e.Note("data directory %s\n", dir)
	return nil
}

// Elsewhere reports whether BERTH_URL names another host than the data directory's.
func (e *Env) Elsewhere() bool { return client.Elsewhere(e.DataDirectory()) }

// Connect finds the host at BERTH_URL, or of the data directory.
func (e *Env) Connect() (*client.Client, error) {
	return e.ConnectTo(os.Getenv("BERTH_URL"), 0)
}

// ConnectTo finds the host at a URL, "" for that of the data directory. Requests may take
// timeout; 0 is a minute.
func (e *Env) ConnectTo(url string, timeout time.Duration) (*client.Client, error) {
	return client.Connect(client.Config{URL: url, DataDir: e.DataDirectory(), Timeout: timeout, Version: e.Version})
}
