package sandbox

import (
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/sandbox/resultcheck"
)

// Secrets are the secrets that a plugin may read. They must be safe for
// concurrent use.
type Secrets interface {
	// Granted reports whether the plugin may read the secret, which need not exist.
	Granted(name string) bool
	// Read returns a granted secret, or fault.NotFound when it does not exist. The guest
	// gets the texts of its errors, except for the cause of a fault.Unavailable.
	Read(name string) (string, error)
}

// maxSecretName bounds a name, in bytes.
const maxSecretName = 128

// secretWork is the cost of opening a file, as bytes to charge for.
const secretWork = 64 << 10

// secret yields a secret: (ptr, len, buf, cap) -> n.
func (in *instance) secret(_ api.Module, stack []uint64) {
	ptr := in.view(stack[0], stack[1])
	in.view(stack[2], stack[3])
	secrets := in.pool.cfg.Capabilities.Secrets
	if len(ptr) > maxSecretName || !secrets.Granted(string(ptr)) {
		stack[0] = in.refuse(abi.Denied, fmt.Sprintf("the secret %s is not granted to this plugin", resultcheck.Excerpt(ptr)))
		return
	}
	in.charge(secretWork)
	in.beforeWait()
	value, err := secrets.Read(string(ptr))
	if err != nil {
		stack[0] = in.answer(in.conceal("reading the secret "+string(ptr), err))
		return
	}
	stack[0] = in.yield(stack[2], stack[3], value)
}
