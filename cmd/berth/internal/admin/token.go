package admin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/engine"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// TokenCommand returns the command token.
func TokenCommand(env *command.Env) *cobra.Command {
	a := app{env}
	return command.Group("token", "Make, list and revoke tokens of the API", a.createToken(), a.listTokens(), a.revokeToken())
}

func (a app) createToken() *cobra.Command {
	var name, expires string
	var scopes []string
	cmd := a.Local("create --name NAME --scope SCOPE,...", "Make a token and print its secret, this once",
		func(ctx context.Context, _ []string) error {
			if err := a.OnlyHere(tokensAreLocal); err != nil {
				return err
			}
			until, err := expiry(expires, time.Now().Truncate(time.Second))
			if err != nil {
				return command.Usage("--expires: %w", err)
			}
			var token auth.Token
			var secret string
			asked := map[string]any{"name": name, "scopes": scopes, "expires": expires}
			tokens, done, err := a.tokens(ctx)
			if err != nil {
				return err
			}
			defer done()
			err = a.change("token-create", "", asked, func() (any, string, error) {
				token, secret, err = tokens.Create(ctx, name, scopes, until)
				return token, token.ID, err
			})
			if err != nil {
				return err
			}
			if a.JSON {
				return a.EncodeJSON(struct {
					auth.Token
					Secret string `json:"secret"`
				}{token, secret}, false)
			}
			a.Note("Token %s (%s) for %s. This is its secret; it is not shown again:\n", token.ID, token.Name, strings.Join(token.Scopes, ", "))
			return a.Print("%s\n", secret)
		})
	cmd.Long = `Makes a token in the data directory and prints its secret, which is kept
nowhere: only its hash is. A host that runs takes the token at once. Hosts that share
a database have their tokens there: each takes it within a second.

Scopes: read (look), publish (events and orders), operate (reload, enable,
disable, redrive, replay), install (install and uninstall plugins).`
	cmd.Example = "  berth token create --name deploy --scope read,publish --expires 30d"
	cmd.Flags().StringVar(&name, "name", "", "who uses it, for the list and the audit log")
	cmd.Flags().StringSliceVar(&scopes, "scope", nil, "some of "+strings.Join(spec.Scopes(), ", "))
	cmd.Flags().StringVar(&expires, "expires", "", "from now on, such as 12h or 30d, or a time such as 2027-01-31T00:00:00Z (default: never)")
	return cmd
}

// expiry parses the end of a token's validity; "" is never.
func expiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 15); err == nil {
			return now.AddDate(0, 0, int(n)), nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a time: write it as 12h, 30d or 2027-01-31T00:00:00Z", text)
	}
	return now.Add(d), nil
}

func (a app) listTokens() *cobra.Command {
	return a.Local("list", "List the tokens, without their secrets", func(ctx context.Context, _ []string) error {
		if err := a.OnlyHere(tokensAreLocal); err != nil {
			return err
		}
		source, done, err := a.tokens(ctx)
		if err != nil {
			return err
		}
		defer done()
		tokens, damaged := source.List(ctx) // the tokens that are not damaged are listed
		if a.JSON {
			return errors.Join(a.EncodeJSON(wire.List[auth.Token]{Items: tokens}, false), damaged)
		}
		now := time.Now()
		return errors.Join(console.Table(a.Console, "ID\tNAME\tSCOPES\tCREATED\tEXPIRES\tLAST USED", tokens, func(t auth.Token) console.Cells {
			expires := day(t.Expires, "never")
			if t.Expired(now) {
				expires += " (expired)"
			}
			return console.Cells{t.ID, t.Name, strings.Join(t.Scopes, ","), day(t.Created, ""), expires, day(t.LastUsed, "not yet")}
		}), damaged)
	})
}

func day(t time.Time, none string) string {
	if t.IsZero() {
		return none
	}
	return t.Local().Format("2006-01-02 15:04")
}

func (a app) revokeToken() *cobra.Command {
	return a.Local("revoke ID", "Remove a token; a host that runs refuses it at once", func(ctx context.Context, args []string) error {
		if err := a.OnlyHere(tokensAreLocal); err != nil {
			return err
		}
		tokens, done, err := a.tokens(ctx)
		if err != nil {
			return err
		}
		defer done()
		var token auth.Token
		err = a.change("token-revoke", args[0], nil, func() (_ any, _ string, err error) {
			token, err = tokens.Revoke(ctx, args[0])
			return nil, args[0], err
		})
		if err != nil || a.JSON {
			return err
		}
		return a.Print("%s (%s) is revoked\n", token.ID, token.Name)
	})
}

// tokens returns the tokens of the host: in its data directory, or in the database that it
// shares with others. The caller calls done.
func (a app) tokens(ctx context.Context) (tokens auth.Tokens, done func(), err error) {
	return engine.Tokens(ctx, a.DataDirectory(), os.LookupEnv)
}

const tokensAreLocal = "tokens are files of the host's data directory, which the API does not reach"

// change makes a change of the data directory and records it in the audit log. It is not made
// unless the first record is stored. do returns the new state and its id.
func (a app) change(action, target string, asked any, do func() (after any, id string, err error)) error {
	if err := a.NeedDataDir(); err != nil {
		return err
	}
	log := audit.New(audit.Config{Path: filepath.Join(a.DataDirectory(), audit.File), NoRotate: true,
		Host: engine.HostName(a.DataDirectory())})
	rec := audit.Record{ID: rand.Text()[:16], Stage: audit.Begin, Action: action, Target: target, Who: operator(), Request: "berth " +
		strings.Replace(action, "-", " ", 1)}
	if asked != nil {
		text, err := json.Marshal(asked)
		if err != nil {
			return err
		}
		rec.Asked = text
	}
	if err := log.Append(rec); err != nil {
		return fmt.Errorf("nothing was changed, because it could not be recorded: %w", err)
	}
	after, id, failed := do()
	rec.Stage, rec.At, rec.Result = audit.End, time.Time{}, "ok"
	if failed != nil {
		rec.Result, rec.Error = "failed", failed.Error()
	} else {
		rec.Target = id
		if after != nil {
			rec.After, _ = json.Marshal(after) // it always encodes
		}
	}
	if err := log.Append(rec); err != nil {
		a.Note("berth: outcome not in the audit log: %s\n", err)
	}
	return failed
}

// operator returns the user that runs this command.
func operator() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return "user " + u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}
