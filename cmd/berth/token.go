package main

import (
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

	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/wire"
)

func (a *app) tokenCommand() *cobra.Command {
	return group("token", "Make, list and revoke tokens of the API", a.tokenCreate(), a.tokenList(), a.tokenRevoke())
}

func (a *app) tokenCreate() *cobra.Command {
	var name, expires string
	var scopes []string
	cmd := a.local(&cobra.Command{
		Use:   "create --name NAME --scope SCOPE,...",
		Short: "Make a token and print its secret, this once",
		Long: `Makes a token in the data directory and prints its secret, which is kept
nowhere: only its hash is. A host that runs takes the token at once.

Scopes: read (look), publish (events and orders), operate (reload, enable,
disable, redrive, replay), install (install and uninstall plugins).`,
		Example: "  berth token create --name deploy --scope read,publish --expires 30d",
		Args:    usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if err := a.onlyHere(tokensAreLocal); err != nil {
				return err
			}
			until, err := expiry(expires, time.Now().Truncate(time.Second))
			if err != nil {
				return usageError{fmt.Errorf("--expires: %w", err)}
			}
			var token auth.Token
			var secret string
			asked := map[string]any{"name": name, "scopes": scopes, "expires": expires}
			err = a.change("token-create", "", asked, func() (any, string, error) {
				token, secret, err = auth.Create(a.dataDirectory(), name, scopes, until)
				return token, token.ID, err
			})
			if err != nil {
				return err
			}
			if a.json {
				return a.encodeJSON(struct {
					auth.Token
					Secret string `json:"secret"`
				}{token, secret}, false)
			}
			a.note("Token %s (%s) for %s. This is its secret; it is not shown again:\n", token.ID, token.Name, strings.Join(token.Scopes, ", "))
			err = a.print("%s\n", secret)
			return err
		},
	})
	cmd.Flags().StringVar(&name, "name", "", "who uses it, for the list and the audit log")
	cmd.Flags().StringSliceVar(&scopes, "scope", nil, "some of "+strings.Join(auth.Scopes(), ", "))
	cmd.Flags().StringVar(&expires, "expires", "", "from now on, such as 12h or 30d, or a time such as 2027-01-31T00:00:00Z (default: never)")
	return cmd
}

// expiry reads when a token ends; "" is never.
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

func (a *app) tokenList() *cobra.Command {
	return a.local(&cobra.Command{
		Use:   "list",
		Short: "List the tokens, without their secrets",
		Args:  usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if err := a.onlyHere(tokensAreLocal); err != nil {
				return err
			}
			tokens, damaged := auth.List(a.dataDirectory()) // what is damaged does not hide the others
			if a.json {
				return errors.Join(a.encodeJSON(wire.List[auth.Token]{Items: tokens}, false), damaged)
			}
			now := time.Now()
			return errors.Join(a.table("ID\tNAME\tSCOPES\tCREATED\tEXPIRES\tLAST USED", len(tokens), func(i int) cells {
				t := tokens[i]
				expires := day(t.Expires, "never")
				if t.Expired(now) {
					expires += " (expired)"
				}
				return cells{t.ID, t.Name, strings.Join(t.Scopes, ","), day(t.Created, ""), expires, day(t.LastUsed, "not yet")}
			}), damaged)
		},
	})
}

func day(t time.Time, none string) string {
	if t.IsZero() {
		return none
	}
	return t.Local().Format("2006-01-02 15:04")
}

func (a *app) tokenRevoke() *cobra.Command {
	return a.local(&cobra.Command{
		Use:   "revoke ID",
		Short: "Remove a token; a host that runs refuses it at once",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.onlyHere(tokensAreLocal); err != nil {
				return err
			}
			var token auth.Token
			err := a.change("token-revoke", args[0], nil, func() (_ any, _ string, err error) {
				token, err = auth.Revoke(a.dataDirectory(), args[0])
				return nil, args[0], err
			})
			if err != nil || a.json {
				return err
			}
			err = a.print("%s (%s) is revoked\n", token.ID, token.Name)
			return err
		},
	})
}

// local adds the flags of a command that works on the data directory itself.
func (a *app) local(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&a.dataDir, "data-dir", "", "data directory of the host (default: $BERTH_DATA_DIR, or data)")
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON")
	return cmd
}

// onlyHere refuses what is done in a data directory, where BERTH_URL leads to another
// host, and says in which directory it is done.
func (a *app) onlyHere(what string) error {
	dir, err := filepath.Abs(a.dataDirectory())
	if err != nil {
		return err
	}
	if a.elsewhere() && a.dataDir == "" {
		return fmt.Errorf("BERTH_URL is set, and %s: do it on that host's machine; or unset BERTH_URL, or give --data-dir, to do it in %s", what, dir)
	}
	if err := a.needDataDir(); err != nil {
		return err
	}
	a.note("data directory %s\n", dir)
	return nil
}

const tokensAreLocal = "tokens are files of the host's data directory, which the API does not reach"

// needDataDir refuses to work on a data directory that no host has made.
func (a *app) needDataDir() error {
	dir := a.dataDirectory()
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("there is no data directory %s: start a host once, or say which with --data-dir or BERTH_DATA_DIR", dir)
	}
	return nil
}

// change makes a change of the data directory and records it in the audit log,
// without which it is not made. do answers what is there afterwards, and its id.
func (a *app) change(action, target string, asked any, do func() (after any, id string, err error)) error {
	if err := a.needDataDir(); err != nil {
		return err
	}
	log := audit.New(audit.Config{Path: filepath.Join(a.dataDirectory(), audit.File), NoRotate: true})
	rec := audit.Record{ID: rand.Text()[:16], Stage: audit.Begin, Action: action, Target: target, Who: operator(), Request: "berth " + strings.Replace(action, "-", " ", 1)}
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
			rec.After, _ = json.Marshal(after) // a value of ours: it always encodes
		}
	}
	if err := log.Append(rec); err != nil {
		a.note("berth: the outcome is not in the audit log: %s\n", err)
	}
	return failed
}

// operator is who runs this command.
func operator() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return "user " + u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}
