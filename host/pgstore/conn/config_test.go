package conn

import (
	"context"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/berth-host/berth/host/pgstore/pgserver"
	"github.com/berth-host/berth/host/pgstore/pgtest"
)

func TestServerEndsSessionsOfLostHosts(t *testing.T) {
	pgtest.Shared(t)                 // skips without PostgreSQL
	server, err := pgserver.NewTCP() // a Unix socket has no such limits
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	db, err := Open(t.Context(), Config{URL: "postgres://berth@" + server.Address() + "/postgres?sslmode=disable", Migrations: []string{Units}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	notifications, err := pgx.ConnectConfig(t.Context(), db.notify.settings)
	if err != nil {
		t.Fatal(err)
	}
	defer notifications.Close(context.WithoutCancel(t.Context()))
	pooled, err := db.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer pooled.Release()
	for where, c := range map[string]*pgx.Conn{"the pool": pooled.Conn(), "notifications": notifications} {
		for name, want := range map[string]string{"tcp_keepalives_idle": "1", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "3", "tcp_user_timeout": "4000"} {
			var got string
			if err := c.QueryRow(t.Context(), `SHOW `+name).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %s is %q (%v), want %q", where, name, got, err, want)
			}
		}
	}
}

func TestServerThatRefusesParametersIsUsed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- refuseStatements(listener) }()
	pool, err := settings(Config{URL: "postgres://u@" + listener.Addr().String() + "/db?sslmode=disable", Schema: defaultSchema})
	if err != nil {
		t.Fatal(err)
	}
	c, err := pgconn.ConnectConfig(t.Context(), &pool.ConnConfig.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// refuseStatements is a server that answers each statement of one connection with an error.
func refuseStatements(listener net.Listener) error {
	defer listener.Close()
	c, err := listener.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	server := pgproto3.NewBackend(c, c)
	if _, err := server.ReceiveStartupMessage(); err != nil {
		return err
	}
	server.Send(&pgproto3.AuthenticationOk{})
	server.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for {
		if err := server.Flush(); err != nil {
			return err
		}
		m, err := server.Receive()
		if err != nil {
			return err
		}
		if _, ends := m.(*pgproto3.Terminate); ends {
			return nil
		}
		server.Send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "42704", Message: "unrecognized configuration parameter"})
		server.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	}
}
