package member_test

import (
	"os"
	"testing"

	"github.com/berth-host/berth/host/member"
)

func TestAddressIsForOtherMachines(t *testing.T) {
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, configured, local, listen, want string }{
		{"configured", "https://berth.example.com", "http://127.0.0.1:80", "0.0.0.0:80", "https://berth.example.com"},
		{"one address", "", "http://10.0.0.7:80", "10.0.0.7:80", "http://10.0.0.7:80"},
		{"loopback", "", "http://127.0.0.1:80", "127.0.0.1:80", "http://127.0.0.1:80"},
		{"every address", "", "https://127.0.0.1:8443", "0.0.0.0:8443", "https://" + machine + ":8443"},
		{"every address of IPv6", "", "http://[::1]:8443", "[::]:8443", "http://" + machine + ":8443"},
		{"not listening yet", "", "http://", "", "http://"},
	} {
		if got := member.Address(tt.configured, tt.local, tt.listen); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}
