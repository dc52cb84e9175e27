// Command berth runs the event-handler host, and commands for a running host.
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

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/admin"
	"github.com/berth-host/berth/cmd/berth/internal/browser"
	"github.com/berth-host/berth/cmd/berth/internal/cluster"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/completion"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/cmd/berth/internal/daemon"
	"github.com/berth-host/berth/cmd/berth/internal/events"
	"github.com/berth-host/berth/cmd/berth/internal/issues"
	"github.com/berth-host/berth/cmd/berth/internal/keyvalue"
	"github.com/berth-host/berth/cmd/berth/internal/market"
	"github.com/berth-host/berth/cmd/berth/internal/operations"
	"github.com/berth-host/berth/cmd/berth/internal/orders"
	"github.com/berth-host/berth/cmd/berth/internal/overview"
	"github.com/berth-host/berth/cmd/berth/internal/plugins"
	"github.com/berth-host/berth/cmd/berth/internal/schedules"
)

// version is set by the Makefile.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(doMain(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// doMain runs one command line and returns its exit code.
func doMain(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	env := &command.Env{Console: &console.Console{In: stdin, Out: stdout, Err: stderr}, Version: version}
	root := rootCommand(env)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil {
		env.Note("berth: %s\n", console.Lines(err.Error()))
	}
	if errors.As(err, new(command.UsageError)) {
		env.Note("See '%s --help'.\n", cmd.CommandPath())
	}
	return command.Code(err)
}

func rootCommand(env *command.Env) *cobra.Command {
	about := fmt.Sprintf("berth %s %s %s/%s\n", env.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	root := &cobra.Command{
		Use:     "berth",
		Version: env.Version, // adds the flag --version
		Short:   "A host for sandboxed event handlers",
		Long: `Berth is a host for sandboxed event handlers: it delivers every event to the
WebAssembly modules that want it, each in a sandbox of its own.

Commands that call a running host find it by its data directory. To call another
one set BERTH_URL and BERTH_TOKEN.

Exit codes:
  0  it is done
  1  it failed, or the host refused it; the reason is on standard error
  2  the command line is invalid; nothing was done`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		Args:              cobra.NoArgs,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return command.CheckFlags(cmd) },
	}
	root.SetVersionTemplate(about)
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return command.Usage("%w", err) })
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(daemon.Command(env), overview.Command(env), orders.Command(env), events.Command(env), schedules.Command(env), cluster.Command(env), issues.Command(env), operations.Command(env), plugins.Command(env), keyvalue.Command(env),
		command.Group("abi", "Check SDKs against the ABI", plugins.ConformCommand(env)),
		market.Command(env, plugins.SearchCommand(env)), events.RouteCommand(env), admin.ConfigCommand(env), admin.TokenCommand(env),
		admin.AuditCommand(env), admin.DoctorCommand(env), admin.BackupCommand(env),
		admin.RestoreCommand(env), admin.MigrateCommand(env), browser.Command(env), completion.Command(env), daemon.VetCommand(env), &cobra.Command{
			Use:   "version",
			Short: "Print the version",
			Args:  cobra.NoArgs,
			RunE:  func(*cobra.Command, []string) error { return env.Print("%s\n", about) },
		})
	completion.Add(env, root)
	command.Prepare(root)
	return root
}
