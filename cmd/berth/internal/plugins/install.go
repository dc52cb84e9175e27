package plugins

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/wire"
)

// installTimeout bounds an installation; the host's own bound is shorter.
const installTimeout = 4 * time.Minute

// consent has the flags by which the operator agrees to a plan in advance.
type consent struct {
	yes     bool
	approve string
}

func (c *consent) flags(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "agree to everything that the plugin asks for")
	cmd.Flags().StringVar(&c.approve, "approve", "", "agree to the plan with this digest, and to no other")
	return cmd
}

func (a app) install() *cobra.Command {
	var in wire.Install
	var given consent
	cmd := a.Remote("install NAME[@VERSION] | oci://REFERENCE | --url URL --sha256 HEX", "Have the host fetch a plugin and run it",
		func(ctx context.Context, args []string) error {
			if err := installFrom(args, &in); err != nil {
				return err
			}
			return a.changeVersion(ctx, "/api/v1/plugins/install", in.Name[strings.LastIndex(in.Name, "/")+1:], given, func(approve string) any {
				in.Approve = approve
				return in
			})
		})
	cmd.Long = `Has the host fetch a plugin, check it and run it: one of its marketplace by name,
one out of a registry, or a module at a URL that has the SHA-256 given. A
plugin that cannot run is not installed. If it asks for capabilities that the
configuration does not grant, its plan is shown, and nothing is done before you
agree to it. Private addresses are refused unless the configuration lists them
under marketplace.allow_private_hosts.`
	cmd.Example = `  berth plugin install fraud-check@^1.2
  berth plugin install --url https://plugins.example/fraud-check.wasm --sha256 $(sha256sum < fraud-check.wasm | cut -c-64)`
	cmd.Args = cobra.MaximumNArgs(1)
	cmd.Flags().StringVar(&in.URL, "url", "", "where the module is: https://...")
	cmd.Flags().StringVar(&in.SHA256, "sha256", "", "SHA-256 of the module: 64 hexadecimal digits")
	cmd.Flags().StringVar(&in.Name, "name", "", "name of the plugin, if its module has no manifest that names it")
	return given.flags(cmd)
}

// installFrom reads the source of the plugin, which must be named once.
func installFrom(args []string, in *wire.Install) error {
	if len(args) == 0 {
		if in.URL == "" || in.SHA256 == "" {
			return command.Usage("give --url and --sha256, the SHA-256 of the module, or a NAME, or an oci:// reference")
		}
		return nil
	}
	if in.URL != "" || in.SHA256 != "" {
		return command.Usage("give either --url and --sha256 or a name or reference")
	}
	if strings.HasPrefix(args[0], "oci://") {
		in.Ref = args[0]
		return nil
	}
	if in.Name != "" {
		return command.Usage("--name is for a module without one; a plugin of the marketplace has its own")
	}
	in.Name, in.Version, _ = strings.Cut(args[0], "@")
	return nil
}

func (a app) upgrade() *cobra.Command {
	var in wire.Upgrade
	var given consent
	cmd := a.Remote("upgrade NAME[@VERSION]", "Replace an installed plugin by another version",
		func(ctx context.Context, args []string) error {
			if (in.URL == "") != (in.SHA256 == "") {
				return command.Usage("give --url and --sha256, the SHA-256 of the module")
			}
			var name string
			name, in.Version, _ = strings.Cut(args[0], "@")
			return a.changeVersion(ctx, pluginPath(name)+"/upgrade", name, given, func(approve string) any {
				in.Approve = approve
				return in
			})
		})
	cmd.Long = `Replaces an installed plugin by another version: the latest of the marketplace, or
the given one; or, with --url and --sha256 or --ref, one from elsewhere. The former
version runs until the new one has started, and is kept for a rollback. A version
with another signer is refused.`
	cmd.Flags().StringVar(&in.URL, "url", "", "where the module is: https://...")
	cmd.Flags().StringVar(&in.SHA256, "sha256", "", "SHA-256 of the module: 64 hexadecimal digits")
	cmd.Flags().StringVar(&in.Ref, "ref", "", "where the module is in a registry: oci://...")
	return given.flags(cmd)
}

func (a app) rollback() *cobra.Command {
	cmd := a.Remote("rollback NAME [VERSION]", "Go back to a former version of an installed plugin",
		func(ctx context.Context, args []string) error {
			var in wire.Rollback
			if len(args) > 1 {
				in.Version = args[1]
			}
			return a.changeVersion(ctx, pluginPath(args[0])+"/rollback", args[0], consent{}, func(string) any { return in })
		})
	cmd.Long = `Goes back to one of the last three former versions of an installed plugin, the one
before if none is named. A version that was rolled back from is not gone back to
again, unless it is named. It needs no network. A version may also be named by the
SHA-256 that 'berth plugin verify' shows.`
	return cmd
}

// changeVersion requests an installation, shows its progress, and asks the operator when the
// host requires approval. name is the plugin's, "" where the module names it.
func (a app) changeVersion(ctx context.Context, path, name string, given consent, body func(approve string) any) error {
	c, err := a.ConnectTo(os.Getenv("BERTH_URL"), installTimeout)
	if err != nil {
		return err
	}
	raw, err := a.stream(ctx, c, path, body(given.approve))
	var p client.Problem
	if errors.As(err, &p) && p.Plan != nil && given.approve == "" {
		if err := a.agreeToPlan(*p.Plan, given); err != nil {
			return err
		}
		raw, err = a.stream(ctx, c, path, body(p.Plan.Digest))
	}
	if err != nil {
		return err
	}
	var plugin wire.Plugin
	if err := client.Decode(raw, &plugin); err != nil {
		return fmt.Errorf("the answer is not what was expected: %w", err)
	}
	if err := client.About("plugin", plugin.Name, cmp.Or(name, plugin.Name)); err != nil {
		return err
	}
	if a.JSON {
		return a.PrintJSON(raw)
	}
	return a.print(plugin)
}

func (a app) outdated() *cobra.Command {
	var refresh bool
	cmd := a.Remote("outdated", "List installed plugins of which the marketplace has a newer version",
		func(ctx context.Context, _ []string) error {
			list, err := a.listings(ctx, "", "", refresh)
			if err != nil {
				return err
			}
			list.Items = slices.DeleteFunc(list.Items, func(l wire.Listing) bool { return l.UpdateAvailable == nil })
			if a.JSON {
				return a.EncodeJSON(list, false)
			}
			a.noteListing(list)
			return console.Table(a.Console, "NAME\tINSTALLED\tAVAILABLE\tPUBLISHER", list.Items, func(p wire.Listing) console.Cells {
				return console.Cells{p.Name, *p.Installed, *p.UpdateAvailable, p.Publisher}
			})
		})
	cmd.Long = `Lists installed plugins of which the marketplace has a newer version, as 'berth plugin
upgrade' would find it now: the host fetches the marketplace's list first. With
--refresh=false it answers of the list that it has, which may be minutes old.`
	cmd.Flags().BoolVar(&refresh, "refresh", true, "have the host fetch the list first, even if it is recent")
	return cmd
}

func (a app) verify() *cobra.Command {
	cmd := a.Remote("verify", "Hash every stored version of every installed plugin against the lock",
		func(ctx context.Context, _ []string) error {
			c, err := a.ConnectTo(os.Getenv("BERTH_URL"), installTimeout)
			if err != nil {
				return err
			}
			bad := 0
			err = command.FetchBy(ctx, a.Env, c, "GET", "/api/v1/plugins/verify", nil, func(list wire.List[wire.Stored]) error {
				return console.Table(a.Console, "NAME\tVERSION\tSTATE\tSHA256\tSOURCE\tPROBLEM", list.Items, func(s wire.Stored) console.Cells {
					state := "current"
					if !s.Current {
						state = "former"
					}
					if !s.OK {
						state, bad = "damaged", bad+1
					}
					return console.Cells{s.Plugin, s.Version, state, s.SHA256, s.Source, s.Problem}
				})
			})
			if err == nil && bad > 0 {
				err = fmt.Errorf("%d stored modules are damaged: install those plugins again", bad)
			}
			return err
		})
	cmd.Long = `Hashes every stored version of every installed plugin, also the former ones that can
be rolled back to, and compares it with the lock. Fails if any is not as it should be.`
	return cmd
}
