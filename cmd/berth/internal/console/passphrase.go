package console

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/fault"
)

// PassphraseVariable is the environment variable with the passphrase of a secret key.
const PassphraseVariable = "BERTH_KEY_PASSPHRASE"

// Passphrase returns the passphrase of a secret key: from the environment, or typed at the
// terminal without echo; twice for a new key.
func (c *Console) Passphrase(twice bool) (string, error) {
	if p := os.Getenv(PassphraseVariable); p != "" {
		return p, nil
	}
	f, ok := c.In.(*os.File)
	if !ok {
		return "", errNoPassphrase
	}
	before, err := unix.IoctlGetTermios(int(f.Fd()), getTermios)
	if err != nil {
		return "", errNoPassphrase // not a terminal
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(int(f.Fd()), setTermios, &hidden); err != nil {
		return "", fmt.Errorf("ask for the passphrase: %w", err)
	}
	in := bufio.NewReader(f)
	ask := func(what string) (string, error) {
		c.Note("%s", what)
		line, err := in.ReadString('\n')
		c.Note("\n")
		return strings.TrimRight(line, "\r\n"), err
	}
	p, err := ask("Passphrase of the secret key: ")
	if err == nil && twice {
		var again string
		if again, err = ask("Again: "); err == nil && again != p {
			err = errors.New("the two passphrases differ")
		}
	}
	err = errors.Join(err, unix.IoctlSetTermios(int(f.Fd()), setTermios, before))
	if err == nil && p == "" {
		err = errNoPassphrase
	}
	return p, err
}

var errNoPassphrase = fault.New(fault.Invalid, "the secret key needs a passphrase: type one at a terminal, or set %s (keygen "+
	"--no-passphrase makes a key without)", PassphraseVariable)
