package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/wire"
)

// maxConfig bounds the file of a handler's config, in bytes; the API takes no more.
const maxConfig = 1 << 20

func handlerConfigPath(name string) string { return "/api/v1/events/plugins/" + name + "/config" }

func (a app) getHandlerConfig() *cobra.Command {
	var schema bool
	cmd := a.Remote("get HANDLER", "Print the config of one handler, as JSON", func(ctx context.Context, args []string) error {
		if err := abi.CheckName(args[0]); err != nil {
			return err
		}
		return command.Fetch(ctx, a.Env, "GET", handlerConfigPath(args[0]), nil, func(c wire.HandlerConfig) error {
			if schema {
				return a.printObject(c.Schema)
			}
			return a.printObject(c.Config)
		})
	})
	cmd.Long = `Prints the object that the plugin reads, with its values, which may be secrets. It
needs a token of the scope operate. With --schema it prints the JSON Schema that the
plugin's manifest has for it, or null.`
	cmd.Example = "  berth config get fraud-check > config.json"
	cmd.Flags().BoolVar(&schema, "schema", false, "print the schema of the config")
	return cmd
}

func (a app) setHandlerConfig() *cobra.Command {
	var tag string
	cmd := a.Remote("set HANDLER [FILE]", "Replace the config of one handler by a JSON object", func(ctx context.Context, args []string) error {
		if err := abi.CheckName(args[0]); err != nil {
			return err
		}
		path := ""
		if len(args) > 1 {
			path = args[1]
		}
		text, err := a.ReadFile(path, maxConfig)
		if err != nil {
			return err
		}
		if !json.Valid(text) {
			return command.Usage("the config is not valid JSON: it must be one object, such as {\"limit\": 5}")
		}
		c, err := a.Connect()
		if err != nil {
			return err
		}
		if tag != "" {
			c.IfMatch = `"` + tag + `"`
		}
		return command.FetchBy(ctx, a.Env, c, "PUT", handlerConfigPath(args[0]), wire.NewHandlerConfig{Config: text},
			func(wire.HandlerConfig) error {
				return a.Print("%s runs with the new config; it is written to the configuration\n", args[0])
			})
	})
	cmd.Long = `Replaces the whole config of a handler by a JSON object, from a file or from standard
input. The host checks it against the schema of the plugin's manifest, writes it to
its configuration file and runs the plugin with it; a config that does not fit
changes nothing. It needs a token of the scope operate.

With --if-match the config is replaced only if its etag (berth config get --json) is
still that one.`
	cmd.Example = "  berth config get fraud-check > config.json\n  berth config set fraud-check config.json"
	cmd.Flags().StringVar(&tag, "if-match", "", "etag of the config that is to be replaced")
	return cmd
}

// printObject prints JSON with indentation.
func (a app) printObject(object json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Indent(&b, object, "", "  "); err != nil {
		return err
	}
	for line := range strings.Lines(b.String()) {
		if err := a.Print("%s\n", strings.TrimSuffix(line, "\n")); err != nil {
			return err
		}
	}
	return nil
}
