package conn

import (
	"strings"
	"testing"

	"github.com/berth-host/berth/host/fault"
)

func TestServerIsRefused(t *testing.T) {
	good := server{version: 150000, name: "15.1", readOnly: "off", fsync: "on", fullPages: "on", commit: "on", encoding: "UTF8"}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		want   string
		code   fault.Code
		change func(*server)
	}{
		{"needs 14 or newer", fault.Invalid, func(s *server) { s.version, s.name = 130014, "13.14" }},
		{"is a standby", fault.Unavailable, func(s *server) { s.recovering = true }},
		{"default_transaction_read_only", fault.Invalid, func(s *server) { s.readOnly = "on" }},
		{"fsync = on", fault.Invalid, func(s *server) { s.fsync = "off" }},
		{"full_page_writes = on", fault.Invalid, func(s *server) { s.fullPages = "off" }},
		{"synchronous_commit is off", fault.Invalid, func(s *server) { s.commit = "off" }},
		{"synchronous_commit is local", fault.Invalid, func(s *server) { s.commit = "local" }},
		{"synchronous_commit is remote_write", fault.Invalid, func(s *server) { s.commit = "remote_write" }},
		{"ENCODING 'UTF8'", fault.Invalid, func(s *server) { s.encoding = "SQL_ASCII" }},
	} {
		s := good
		tt.change(&s)
		if err := s.check(); !strings.Contains(err.Error(), tt.want) || fault.CodeOf(err) != tt.code {
			t.Errorf("got %q (%s), want %q (%s)", err, fault.CodeOf(err), tt.want, tt.code)
		}
	}
	for _, commit := range []string{"on", "remote_apply"} {
		s := good
		s.commit = commit
		if err := s.check(); err != nil {
			t.Errorf("synchronous_commit %s: %v", commit, err)
		}
	}
}
