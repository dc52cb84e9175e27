package market

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/marketplace/format"
	market "github.com/berth-host/berth/host/marketplace/publish"
)

func (a app) verify() *cobra.Command {
	var keys, private []string
	var asJSON bool
	cmd := command.New("verify TREE|URL --key KEY", "Check a whole marketplace, and list everything that is wrong with it",
		func(ctx context.Context, args []string) (err error) {
			if len(keys) == 0 {
				return command.Usage("give --key, the marketplace's public key: its file, or the key itself")
			}
			var trusted []format.Key
			for _, k := range keys {
				key, err := publicKey(k)
				if err != nil {
					return err
				}
				trusted = append(trusted, key)
			}
			from, done, err := source(args[0], private)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, done()) }()
			r, err := market.Verify(ctx, from, trusted, time.Now())
			if err != nil {
				return err
			}
			if err := a.showVerified(r, asJSON); err != nil {
				return err
			}
			if n := len(r.Problems); n > 0 {
				return fmt.Errorf("%s does not hold: %s", args[0], console.Count(n, "problem"))
			}
			return nil
		})
	cmd.Long = `Checks a marketplace's directory, or one that a server has, from the signature of
its list down to the modules. What is wrong is listed, each with its kind; the exit
code is 1 then.`
	cmd.Example = `  berth marketplace verify tree --key shop.pub
  berth marketplace verify https://plugins.example.com/ --key RWQ...`
	cmd.Flags().StringArrayVar(&keys, "key", nil, "public key that may have signed it: its file, or the key itself")
	cmd.Flags().StringArrayVar(&private, "allow-private-host", nil, "host name, address or range that may be private, and speak plain http")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was found as JSON")
	return cmd
}

// source opens a tree by its directory or its URL. The caller must call the function that it
// returns.
func source(where string, private []string) (market.Source, func() error, error) {
	if path, ok := strings.CutPrefix(where, "file://"); ok {
		where = path
	}
	if !strings.Contains(where, "://") {
		t, err := market.Open(where, false)
		if err != nil {
			return nil, nil, err
		}
		return market.DirSource{Tree: t}, t.Close, nil
	}
	base, err := market.TreeURL(where)
	if err != nil {
		return nil, nil, err
	}
	fetcher, err := marketplace.New(marketplace.Config{AllowPrivateHosts: private})
	if err != nil {
		return nil, nil, err
	}
	session := fetcher.Session()
	return market.WebSource{Session: session, URL: base}, func() error { session.Close(); return nil }, nil
}

func (a app) showVerified(r market.Report, asJSON bool) error {
	if asJSON {
		out := struct {
			Marketplace string              `json:"marketplace"`
			Sequence    int64               `json:"sequence"`
			Expires     time.Time           `json:"expires"`
			Signer      string              `json:"signer"`
			Plugins     int                 `json:"plugins"`
			Releases    int                 `json:"releases"`
			Bytes       int64               `json:"bytes"`
			Problems    []map[string]string `json:"problems"`
		}{r.Root.Marketplace, r.Root.Sequence, r.Root.Expires, r.Signer, r.Plugins, r.Releases, r.Bytes, []map[string]string{}}
		for _, p := range r.Problems {
			out.Problems = append(out.Problems, map[string]string{"kind": string(p.Kind), "reason": p.Reason})
		}
		return a.EncodeJSON(out, true)
	}
	a.showProblems(r.Problems)
	if r.Root.Format == "" || len(r.Problems) > 0 {
		return nil
	}
	return a.Print("marketplace %s\nsequence    %d\nexpires     %s\nsigned by   %s\nplugins     %d\nreleases    %d, %d bytes of "+
		"modules\nEverything holds.\n",
		r.Root.Marketplace, r.Root.Sequence, r.Root.Expires.Format(time.RFC3339), r.Signer, r.Plugins, r.Releases, r.Bytes)
}

func (a app) serve() *cobra.Command {
	var listen, cert, key string
	cmd := command.New("serve TREE", "Serve a marketplace's directory, to try it out", func(ctx context.Context, args []string) (err error) {
		if (cert == "") != (key == "") {
			return command.Usage("give both of --tls-cert and --tls-key, or none")
		}
		if cert == "" && !loopbackAddress(listen) {
			return command.Usage("%s is not an address of this machine alone: give --tls-cert and --tls-key to listen there", listen)
		}
		t, err := market.Open(args[0], false)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, t.Close()) }()
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
		if err != nil {
			return err
		}
		where := url.URL{Scheme: "http", Host: ln.Addr().String(), Path: "/"}
		if cert != "" {
			pair, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				return errors.Join(err, ln.Close())
			}
			ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
			where.Scheme = "https"
		}
		a.Print("serving %s at %s\n", args[0], where.String())
		return serveUntil(ctx, ln, t.Handler())
	})
	cmd.Long = `Serves the files of a marketplace's directory until Ctrl-C. It is for trying a
marketplace out, on this machine unless there is TLS; any web server that serves
files can serve it in production.`
	cmd.Example = "  berth marketplace serve tree --listen 127.0.0.1:8765"
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8765", "host:port to listen on")
	cmd.Flags().StringVar(&cert, "tls-cert", "", "certificate, as PEM")
	cmd.Flags().StringVar(&key, "tls-key", "", "its key, as PEM")
	return cmd
}

// serveUntil serves until ctx ends, and then waits for the answers under way.
func serveUntil(ctx context.Context, ln net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: 5 * time.Minute, IdleTimeout: time.Minute,
		MaxHeaderBytes: 64 << 10}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := s.Shutdown(grace)
	<-served
	return err
}

// loopbackAddress reports whether only this machine can connect to host:port.
func loopbackAddress(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && client.LoopbackName(host)
}
