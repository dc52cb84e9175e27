// Package market has the commands that make a marketplace out of files: keys, releases, the
// signed tree, and its check. Only search needs a running host.
package market

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace/format"
	market "github.com/berth-host/berth/host/marketplace/publish"
)

type app struct{ *command.Env }

// Command returns the command marketplace, with search among its subcommands.
func Command(env *command.Env, search *cobra.Command) *cobra.Command {
	a := app{env}
	g := command.Group("marketplace", "Search the host's marketplace, or make one with files and a web server and nothing else",
		search, a.keygen(), a.release(), a.add(), a.mark(), a.sign(), a.verify(), a.serve())
	g.Long = `Searches the marketplace that a running host is configured with, or makes one: a
directory of files that any web server serves. The publisher signs each release with
a key of theirs; the marketplace signs the list of everything with its own. Only
search needs a running host.

The format is described in abi/MARKETPLACE.md.`
	g.Example = `  berth marketplace keygen acme                         # the publisher's key: acme.key, acme.pub
  berth marketplace keygen shop                         # the marketplace's: shop.key, shop.pub
  berth marketplace release echo.wasm --publisher acme --key acme.key
  berth marketplace add tree echo-1.0.0 --publisher-key acme.pub
  berth marketplace sign tree --name shop --key shop.key
  berth marketplace verify tree --key shop.pub
  berth marketplace serve tree                          # to try it out

and in the configuration of a host:

  marketplace:
    enabled: true
    index_url: http://127.0.0.1:8765/
    trusted_keys: [RW...]                               # the last line of shop.pub
    allow_private_hosts: [127.0.0.1]                    # only because it is on this machine`
	return g
}

func (a app) keygen() *cobra.Command {
	var bare bool
	cmd := command.New("keygen NAME", "Make a key to sign with: NAME.key, which is secret, and NAME.pub",
		func(_ context.Context, args []string) error {
			secret, public := args[0]+".key", args[0]+".pub"
			for _, path := range []string{secret, public} {
				if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("%s exists: keys are not replaced; give another name", path)
				}
			}
			var phrase string
			var err error
			if !bare {
				if phrase, err = a.Passphrase(true); err != nil {
					return err
				}
			}
			s, err := format.NewSigner()
			if err != nil {
				return err
			}
			text, err := s.Encode(phrase)
			if err != nil {
				return err
			}
			if err := create(secret, text, 0o600); err != nil {
				return err
			}
			if err := create(public, s.Key().File(), 0o644); err != nil {
				return errors.Join(err, os.Remove(secret))
			}
			return a.Print("secret key  %s (keep it where no other user can read it)\npublic key  %s\n            %s\n", secret, public, s.Key())
		})
	cmd.Long = `Makes a minisign key: NAME.key is secret and stays with the signer; NAME.pub
is public. The secret key is encrypted with a passphrase, which is asked
for or taken from ` + console.PassphraseVariable + `. Keys that minisign has made do as well.`
	cmd.Flags().BoolVar(&bare, "no-passphrase", false, "do not encrypt the secret key")
	return cmd
}

// create writes a new file completely, or not at all.
func create(path string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// signer reads a secret key's file.
func (a app) signer(path string) (format.Signer, error) {
	if path == "" {
		return format.Signer{}, command.Usage("give --key, the file of the secret key")
	}
	text, err := market.ReadFile(path, 4096)
	if err != nil {
		return format.Signer{}, err
	}
	s, err := format.ParseSigner(abi.TrimBOM(text), func() (string, error) { return a.Passphrase(false) })
	if err != nil {
		return format.Signer{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// publicKey reads a public key from its file, or from its text.
func publicKey(s string) (format.Key, error) {
	if k, err := format.ParseKey(s); err == nil {
		return k, nil
	}
	text, err := market.ReadFile(s, 4096)
	if err != nil {
		return format.Key{}, err
	}
	k, err := format.ParseKey(string(abi.TrimBOM(text)))
	if err != nil {
		return format.Key{}, fmt.Errorf("%s: %w", s, err)
	}
	return k, nil
}

func (a app) release() *cobra.Command {
	var draft market.Draft
	var key, manifest, out string
	cmd := command.New("release FILE.wasm --publisher NAME --key FILE", "Make a signed release of a module",
		func(_ context.Context, args []string) error {
			if draft.Publisher == "" {
				return command.Usage("give --publisher, the name of the publisher")
			}
			by, err := a.signer(key)
			if err != nil {
				return err
			}
			if draft.Module, err = market.ReadFile(args[0], format.MaxBlob); err != nil {
				return err
			}
			if draft.Manifest, err = sidecar(args[0], manifest, draft.Module); err != nil {
				return err
			}
			draft.Released = time.Now()
			b, err := market.Make(draft, by)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if out == "" {
				out = market.DefaultBundle(b.Release)
			}
			switch old, err := market.ReadBundle(out); {
			case fault.Is(err, fault.NotFound):
			case err != nil:
				return fmt.Errorf("%s: %w", out, err)
			case old.Release.Reference() != b.Release.Reference() || old.Release.SHA256 != b.Release.SHA256:
				return fmt.Errorf("%s has another release, %s of another module: give that one a new version, or this one another --out", out,
					old.Release.Reference())
			default: // the same release: keep its time
				draft.Released = old.Release.Released
				if b, err = market.Make(draft, by); err != nil {
					return err
				}
			}
			if err := b.Write(out); err != nil {
				return err
			}
			a.Print("release     %s\nsha256      %s\nsize        %d bytes\nsigned by   %s\n", b.Release.Reference(), b.Release.SHA256,
				b.Release.Size, by.Key().ID())
			for _, c := range b.Release.Capabilities {
				a.Print("asks for    %s %s\n", c.Name, c.Reason)
			}
			return a.Print("written to  %s\n", out)
		})
	cmd.Long = `Makes a release: a directory with the module, release.json (who publishes what,
its SHA-256, its size and what it asks for) and its signature. Name, version and
capabilities are those of the module's manifest. A module that has no manifest
inside gets the one that lies beside it (FILE.wasm.json, or --manifest) put into
it, so that an installation is a single file. Releasing the same once more
changes nothing.`
	cmd.Example = "  berth marketplace release echo.wasm --publisher acme --key acme.key"
	cmd.Flags().StringVar(&draft.Publisher, "publisher", "", "name of the publisher: a-z, 0-9 and -")
	cmd.Flags().StringVar(&key, "key", "", "the publisher's secret key")
	cmd.Flags().StringVar(&manifest, "manifest", "", "manifest of a module that has none inside (default: FILE.wasm.json, if it is there)")
	cmd.Flags().StringVar(&draft.Name, "name", "", "name of the plugin, if its manifest has none")
	cmd.Flags().StringVar(&draft.Version, "version", "", "version of the plugin, if its manifest has none")
	cmd.Flags().StringVar(&out, "out", "", "directory to write to (default: NAME-VERSION)")
	return cmd
}

// sidecar reads the manifest of a module: the named one, or the one beside a module without
// a manifest inside; nil when there is none.
func sidecar(module, named string, wasm []byte) ([]byte, error) {
	if named != "" {
		text, err := market.ReadFile(named, abi.MaxManifest)
		return abi.TrimBOM(text), err
	}
	if _, inside, err := abi.FindSection(wasm, abi.ManifestSection); err != nil || inside {
		return nil, nil // market.Make returns the error
	}
	text, err := market.ReadFile(module+".json", abi.MaxManifest)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return abi.TrimBOM(text), err
}

func (a app) add() *cobra.Command {
	var publisher string
	cmd := command.New("add TREE RELEASE...", "Put releases into a marketplace's directory",
		func(_ context.Context, args []string) (err error) {
			var key *format.Key
			if publisher != "" {
				k, err := publicKey(publisher)
				if err != nil {
					return err
				}
				key = &k
			}
			t, err := market.Open(args[0], true)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, t.Close()) }()
			for _, dir := range args[1:] {
				b, err := market.ReadBundle(dir)
				if err != nil {
					return fmt.Errorf("%s: %w", dir, err)
				}
				changed, err := t.Add(b, key)
				if err != nil {
					return fmt.Errorf("%s: %w", dir, err)
				}
				what := "is added; sign the tree now"
				if !changed {
					what = "exists already"
				}
				a.Print("%s %s\n", b.Release.Reference(), what)
			}
			return nil
		})
	cmd.Long = `Puts releases, the directories that release has made, into a marketplace's
directory, once their signatures and modules were checked. The publisher's first
release needs --publisher-key; from then on that is the publisher's key there. A
version in the tree never changes. Sign the tree afterwards.`
	cmd.Example = "  berth marketplace add tree echo-1.0.0 --publisher-key acme.pub"
	cmd.Flags().StringVar(&publisher, "publisher-key", "", "the publisher's public key: its file, or the key itself")
	return cmd
}

func (a app) mark() *cobra.Command {
	var yank, unyank bool
	var deprecate string
	var cmd *cobra.Command
	cmd = command.New("mark TREE PUBLISHER/NAME@VERSION", "Yank or deprecate a release", func(_ context.Context, args []string) (err error) {
		deprecated := cmd.Flags().Changed("deprecate")
		if yank == unyank && !deprecated || yank && unyank {
			return command.Usage("give one of --yank and --unyank, or --deprecate")
		}
		t, err := market.Open(args[0], false)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, t.Close()) }()
		err = t.Mark(args[1], func(v *format.PageVersion) {
			if yank || unyank {
				v.Yanked = yank
			}
			if deprecated {
				v.Deprecated = deprecate
			}
		})
		if err == nil {
			err = a.Print("%s is marked; sign the tree now\n", args[1])
		}
		return err
	})
	cmd.Long = `Changes the state of a release in a marketplace. A yanked release is installed only
by its exact version; a deprecated one is installed with a warning. To revoke a
release permanently, see the flag --revoke of sign. Sign the tree afterwards.`
	cmd.Example = `  berth marketplace mark tree acme/echo@1.0.0 --yank
  berth marketplace mark tree acme/echo@1.0.0 --deprecate "1.1 is faster"`
	cmd.Flags().BoolVar(&yank, "yank", false, "install it only when exactly this version is asked for")
	cmd.Flags().BoolVar(&unyank, "unyank", false, "the opposite")
	cmd.Flags().StringVar(&deprecate, "deprecate", "", `why it should not be used any more; "" takes that back`)
	return cmd
}

func (a app) sign() *cobra.Command {
	var s market.Signing
	var key, reason string
	var valid time.Duration
	var revoke []string
	cmd := command.New("sign TREE --key FILE", "Make and sign the next list of everything in a marketplace",
		func(ctx context.Context, args []string) (err error) {
			if valid < time.Minute || valid > 10*365*24*time.Hour {
				return command.Usage("--valid must be from 1m to 87600h (ten years)")
			}
			if len(revoke) > 0 && reason == "" {
				return command.Usage("give --reason: why the release is revoked")
			}
			for _, what := range revoke {
				r := format.Revocation{Release: what, Reason: reason}
				if !strings.Contains(what, "@") {
					r = format.Revocation{SHA256: what, Reason: reason}
				}
				s.Revoke = append(s.Revoke, r)
			}
			by, err := a.signer(key)
			if err != nil {
				return err
			}
			t, err := market.Open(args[0], false)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, t.Close()) }()
			s.Expires = time.Now().Add(valid)
			root, err := t.Sign(ctx, s, by)
			var problems market.Problems
			if errors.As(err, &problems) {
				a.showProblems(problems)
				return fmt.Errorf("%s is not signed: %s", args[0], console.Count(len(problems), "problem"))
			}
			if err != nil {
				return err
			}
			return a.Print("marketplace %s\nsequence    %d\nexpires     %s\nfiles       %d\nrevoked     %d\nsigned by   %s\n",
				root.Marketplace, root.Sequence, root.Expires.Format(time.RFC3339), len(root.Files), len(root.Revoked), by.Key().ID())
		})
	cmd.Long = `Checks everything in a marketplace's directory, and makes and signs root.json of
it, with the next sequence number and a new expiry. Hosts install nothing by a list
that has expired: sign again before, changed or not. Hosts refuse a list that is
older than one they have seen, so never go back to an old copy.`
	cmd.Example = `  berth marketplace sign tree --name shop --key shop.key --valid 720h
  berth marketplace sign tree --key shop.key --revoke acme/echo@1.0.0 --reason "loses events"`
	cmd.Flags().StringVar(&key, "key", "", "the marketplace's secret key")
	cmd.Flags().StringVar(&s.Name, "name", "", "name of the marketplace, the first time")
	cmd.Flags().DurationVar(&valid, "valid", 30*24*time.Hour, "how long hosts may install by it")
	cmd.Flags().StringArrayVar(&revoke, "revoke", nil, "take back PUBLISHER/NAME@VERSION, or every module with a SHA-256")
	cmd.Flags().StringVar(&reason, "reason", "", "why; for --revoke")
	cmd.Flags().StringArrayVar(&s.Restore, "restore", nil, "revoke no more what was revoked by mistake")
	return cmd
}

func (a app) showProblems(list market.Problems) {
	for _, p := range list {
		a.Print("%-20s %s\n", p.Kind, p.Reason)
	}
}
