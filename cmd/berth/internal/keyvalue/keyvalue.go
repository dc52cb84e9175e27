// Package keyvalue has the commands for the key-value state of plugins.
package keyvalue

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/url"
	"strconv"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/wire"
)

type app struct{ *command.Env }

// Command returns the command kv.
func Command(env *command.Env) *cobra.Command {
	a := app{env}
	return command.Group("kv", "Look at and change what plugins have stored", a.list(), a.get(), a.set(), a.remove())
}

func listPath(plugin string) string {
	return "/api/v1/events/plugins/" + url.PathEscape(plugin) + "/kv"
}

func (a app) list() *cobra.Command {
	var prefix string
	var page command.Paging
	cmd := a.Remote("list PLUGIN", "List the keys of a plugin, without the values", func(ctx context.Context, args []string) error {
		if err := abi.CheckName(args[0]); err != nil {
			return err
		}
		at := page.Path(listPath(args[0]), "prefix", prefix)
		return command.Fetch(ctx, a.Env, "GET", at, nil, func(list wire.KVList) error {
			a.Note("%s uses %s of %s.\n", args[0], console.Bytes(list.Used), console.Bytes(list.Quota))
			if len(list.Items) == 0 {
				a.Note("There are no keys%s.\n", map[bool]string{true: " that begin with this"}[prefix != ""])
				return nil
			}
			return console.Page(a.Console, "KEY\tSIZE\tEXPIRES", wire.List[wire.KVKey]{Items: list.Items, Next: list.Next}, func(k wire.KVKey) console.Cells {
				return console.Cells{shown(k), k.Size, console.ClockOr(k.ExpiresAt)}
			})
		})
	})
	cmd.Long = `Lists the keys of a plugin in the order of their bytes. Keys with characters that do
not show are quoted; keys that are not UTF-8 are shown as base64:…, for --base64 of the
other commands. The state of an uninstalled plugin can be listed too.`
	cmd.Example = "  berth kv list order-audit\n  berth kv list order-audit --prefix count/"
	cmd.Flags().StringVar(&prefix, "prefix", "", "only keys that begin with this")
	page.Flags(cmd, 50)
	return cmd
}

// shown returns a key for people.
func shown(k wire.KVKey) string {
	if k.Key == nil {
		return "base64:" + console.Or(k.KeyBase64, "")
	}
	if quoted := strconv.Quote(*k.Key); quoted != `"`+*k.Key+`"` {
		return quoted
	}
	return *k.Key
}

// entry is the entry that a command line names.
type entry struct {
	plugin, key string
	encoded     bool // KEY is base64
}

// flags adds --base64.
func (e *entry) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&e.encoded, "base64", false, "KEY is the base64 of the key's bytes, as kv list shows it after base64:")
}

// read reads the arguments.
func (e *entry) read(args []string) error {
	if err := abi.CheckName(args[0]); err != nil {
		return err
	}
	e.plugin, e.key = args[0], args[1]
	if e.encoded {
		b, err := base64.StdEncoding.DecodeString(e.key)
		if err != nil {
			return command.Usage("KEY is not base64: %w", err)
		}
		e.key = string(b)
	}
	if e.key == "" || len(e.key) > abi.MaxKVKey {
		return command.Usage("KEY is %d bytes; a key has 1 to %d", len(e.key), abi.MaxKVKey)
	}
	return nil
}

// path returns the path of the entry. Clients and proxies may resolve . and .. in paths.
func (e *entry) path() string {
	if e.key == "." || e.key == ".." || !utf8.ValidString(e.key) {
		return listPath(e.plugin) + "/" + base64.RawURLEncoding.EncodeToString([]byte(e.key)) + "?key_encoding=base64"
	}
	return listPath(e.plugin) + "/" + url.PathEscape(e.key)
}

// about refuses an answer about another key.
func (e *entry) about(k wire.KVKey) error {
	answered := console.Or(k.Key, "")
	if k.KeyBase64 != nil {
		b, err := base64.StdEncoding.DecodeString(*k.KeyBase64)
		if err != nil {
			return err
		}
		answered = string(b)
	}
	return client.About("key", answered, e.key)
}

func (a app) get() *cobra.Command {
	var at entry
	cmd := a.Remote("get PLUGIN KEY", "Print a value of a plugin", func(ctx context.Context, args []string) error {
		if err := at.read(args); err != nil {
			return err
		}
		return command.Fetch(ctx, a.Env, "GET", at.path(), nil, func(v wire.KVValue) error {
			value := []byte(console.Or(v.Text, ""))
			if v.Base64 != nil {
				var err error
				if value, err = base64.StdEncoding.DecodeString(*v.Base64); err != nil {
					return err
				}
			}
			return a.PrintExact(value)
		}, func(v wire.KVValue) error { return at.about(v.KVKey) })
	})
	cmd.Long = `Prints the exact bytes of a value, without a line end. At a terminal characters that do
not show are replaced, and a line end follows. With --json the answer has the ETag, for
kv set --if-match, and when the value expires.`
	cmd.Example = "  berth kv get order-audit last > value"
	at.flags(cmd)
	return cmd
}

func (a app) set() *cobra.Command {
	var at entry
	var expire, tag string
	var absent bool
	cmd := a.Remote("set PLUGIN KEY VALUE", "Write a value of a plugin", func(ctx context.Context, args []string) error {
		if err := at.read(args); err != nil {
			return err
		}
		value := []byte(args[2])
		if args[2] == "-" {
			var err error
			if value, err = io.ReadAll(io.LimitReader(a.In, abi.MaxKVValue+1)); err != nil {
				return err
			}
		}
		if len(value) > abi.MaxKVValue {
			return errors.New("the value is larger than 1 MiB")
		}
		body := wire.NewKVValue{ExpiresIn: command.InHours(expire)}
		if utf8.Valid(value) {
			body.Text = new(string(value))
		} else {
			body.Base64 = new(base64.StdEncoding.EncodeToString(value))
		}
		c, err := a.Connect()
		if err != nil {
			return err
		}
		if tag != "" {
			c.IfMatch = `"` + tag + `"`
		}
		c.IfAbsent = absent
		return command.FetchBy(ctx, a.Env, c, "PUT", at.path(), body, func(s wire.KVStored) error {
			limit := ""
			if s.ExpiresAt != nil {
				limit = "; it expires at " + console.Clock(*s.ExpiresAt)
			}
			return a.Print("%s of %s is written, %s%s\n", shown(s.KVKey), args[0], console.Bytes(int64(s.Size)), limit)
		}, func(s wire.KVStored) error { return at.about(s.KVKey) })
	})
	cmd.Long = `Writes a value, from the command line or, for -, from standard input. It needs a token
of the scope operate; the audit log has the key and the size, not the value. A guest
that writes the key at the same time is not held up: with --if-match the value is
replaced only if its etag (berth kv get --json) is still that one.

A limit that the key has is removed, unless --if-match or --expire is given.`
	cmd.Example = "  berth kv set order-audit last 7\n  berth kv set order-audit session - --expire 24h < session.json"
	at.flags(cmd)
	cmd.Flags().StringVar(&expire, "expire", "", "remove the value after this time, such as 15m, 24h or 7d")
	cmd.Flags().StringVar(&tag, "if-match", "", "etag of the value that is to be replaced")
	cmd.Flags().BoolVar(&absent, "if-absent", false, "write only if there is no such key")
	cmd.MarkFlagsMutuallyExclusive("if-match", "if-absent")
	return cmd
}

func (a app) remove() *cobra.Command {
	var at entry
	var yes bool
	var tag string
	cmd := a.Remote("delete PLUGIN KEY", "Delete a value of a plugin", func(ctx context.Context, args []string) error {
		if err := at.read(args); err != nil {
			return err
		}
		c, err := a.Connect()
		if err != nil {
			return err
		}
		var present wire.KVValue
		if _, err := c.Call(ctx, "GET", at.path(), nil, &present); err != nil {
			return err
		}
		if err := at.about(present.KVKey); err != nil {
			return err
		}
		if !yes && tag == "" {
			tag = present.ETag // what is shown is what is deleted
		}
		if tag != "" {
			c.IfMatch = `"` + tag + `"`
		}
		if !yes {
			a.Note("%s of %s has %s, expires: %s\n", shown(present.KVKey), args[0], console.Bytes(int64(present.Size)),
				cmp.Or(console.ClockOr(present.ExpiresAt), "-"))
			if err := a.Confirm("Delete it?", "it was not deleted; confirm with --yes"); err != nil {
				return err
			}
		}
		if _, err := c.Call(ctx, "DELETE", at.path(), nil, nil); err != nil || a.JSON {
			return err
		}
		return a.Print("%s of %s is deleted\n", shown(present.KVKey), args[0])
	})
	cmd.Long = `Shows the size of a value, asks, and deletes it, unless it was written meanwhile. It
needs a token of the scope operate. With --if-match the value is deleted only if its
etag (berth kv get --json) is that one. What an uninstalled plugin has left can be
deleted too.`
	cmd.Example = "  berth kv delete order-audit last\n  berth kv delete order-audit last --yes"
	at.flags(cmd)
	cmd.Flags().StringVar(&tag, "if-match", "", "etag of the value that is to be deleted")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
