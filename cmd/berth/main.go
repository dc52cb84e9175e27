// Command berth runs the event-handler host, and talks to one that runs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// version is set by the Makefile.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(doMain(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// exitError is a failure with an exit code of its own.
type exitError struct {
	error
	code int
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

// doMain runs one command line and returns its exit code.
func doMain(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := rootCommand(stdin, stdout, stderr)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	a := &app{stderr: stderr}
	a.note("berth: %s\n", lines(err.Error()))
	var usage usageError
	if errors.As(err, &usage) {
		a.note("See '%s --help'.\n", cmd.CommandPath())
		return exitUsage
	}
	var own exitError
	if errors.As(err, &own) {
		return own.code
	}
	return exitFailed
}

// app is what the commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	dataDir        string        // --data-dir
	json           bool          // --json
	timeout        time.Duration // with an answer of the host; 0 for the usual
	atTerminal     bool          // stdin is a person, though it is no terminal
	ifMatch        string        // the header If-Match of what is sent; "" for none
}

func rootCommand(stdin io.Reader, stdout, stderr io.Writer) *cobra.Command {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	about := fmt.Sprintf("berth %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	root := &cobra.Command{
		Use:     "berth",
		Version: version, // which gives it the flag --version
		Short:   "A host for sandboxed event handlers",
		Long: `Berth is a host for sandboxed event handlers: it delivers every event to the
WebAssembly modules that want it, each in a sandbox of its own.

Commands that talk to a running host find it by its data directory. To reach
another one set BERTH_URL and BERTH_TOKEN.

Exit codes:
  0  it is done
  1  it failed, or the host refused it; the reason is on standard error
  2  the command line makes no sense; nothing was done`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          usage(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmd.ValidateRequiredFlags(); err != nil {
				return usageError{err}
			}
			return refuseEmptyFlags(cmd)
		},
	}
	root.SetVersionTemplate(about)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(a.serveCommand(), a.ordersCommand(), a.eventsCommand(), a.pluginCommand(), a.marketplaceCommand(), a.routeCommand(), a.configCommand(), a.tokenCommand(), a.auditCommand(), a.doctorCommand(), a.completionCommand(), a.vetCommand(), &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return a.print("%s\n", about)
		},
	})
	a.addCompletions(root)
	return root
}

// usage marks what an argument check refuses as a usage error.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// group is a command that only has subcommands.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: use, Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())}
			}
			return cmd.Help()
		},
	}
	g.AddCommand(subs...)
	return g
}

// talks adds the flags of a command that talks to a running host.
func (a *app) talks(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&a.dataDir, "data-dir", "", "data directory of the host (default: $BERTH_DATA_DIR, or data)")
	cmd.Flags().BoolVar(&a.json, "json", false, "print the answer of the API as JSON")
	return cmd
}

// refuseEmptyFlags refuses a flag that is given with an empty value, as a script
// gives it whose variable is not set: it would mean the same as no flag, and a
// purge of one subject would be a purge of all.
func refuseEmptyFlags(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if err == nil && f.Changed && f.Value.String() == "" {
			err = usageError{fmt.Errorf("--%s is empty; leave it out for none", f.Name)}
		}
	})
	return err
}
