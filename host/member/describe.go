package member

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/spec"
	"github.com/google/uuid"
)

// Description is what a host says of itself to the others. All fields are required.
type Description struct {
	Name        string // cluster.name; "" is the name of the machine
	URL         func() string
	Version     string
	Fingerprint func() string            // of the settings that all hosts should share
	Watched     func() bool              // a client follows its event stream
	Layouts     func() map[string]string // of spec.Member
	Progress    func() map[string]spec.Progress
}

// Address returns the URL of a host's API for other machines: configured, if that is not "", else that
// for programs on this machine, in which the name of the machine stands for every address.
func Address(configured, local, listen string) string {
	addr, err := netip.ParseAddrPort(listen)
	if configured != "" || err != nil || !addr.Addr().IsUnspecified() {
		return cmp.Or(configured, local)
	}
	name, err := os.Hostname()
	if err != nil {
		return local
	}
	scheme, _, _ := strings.Cut(local, "://")
	return scheme + "://" + net.JoinHostPort(name, strconv.Itoa(int(addr.Port())))
}

// Clock returns the clock of the database that hosts share, or that of this machine while joined
// returns nil: of several hosts one deletes and publishes for all, and its own clock may be wrong.
func Clock(joined func() *cluster.Cluster) func() time.Time {
	return func() time.Time {
		if c := joined(); c != nil {
			return c.Now()
		}
		return time.Now()
	}
}

// Describe returns the function that describes this start of the host; modules are those that can
// run here, and inactive the names of its other plugins.
func Describe(d Description, modules func() map[string]string, inactive func() []string) (func() spec.Member, error) {
	if d.Name == "" {
		var err error
		if d.Name, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("name of the machine, for cluster.name: %w", err)
		}
	}
	id, started := uuid.NewString(), time.Now().UTC()
	return func() spec.Member {
		return spec.Member{ID: id, Name: d.Name, URL: d.URL(), Version: d.Version, Settings: d.Fingerprint(), Modules: modules(),
			Layouts: d.Layouts(), Progress: d.Progress(), Inactive: inactive(), Watched: d.Watched(), StartedAt: started}
	}, nil
}
