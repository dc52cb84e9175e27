package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/fault"
)

// passphraseVariable holds the passphrase of a secret key where nobody can type it.
const passphraseVariable = "BERTH_KEY_PASSPHRASE"

// passphrase finds the passphrase of a secret key: in the environment, or by
// asking at the terminal, without showing what is typed; twice for a new key.
func (a *app) passphrase(twice bool) (string, error) {
	if p := os.Getenv(passphraseVariable); p != "" {
		return p, nil
	}
	f, ok := a.stdin.(*os.File)
	if !ok {
		return "", errNoPassphrase
	}
	before, err := unix.IoctlGetTermios(int(f.Fd()), getTermios)
	if err != nil {
		return "", errNoPassphrase // it is no terminal
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(int(f.Fd()), setTermios, &hidden); err != nil {
		return "", fmt.Errorf("ask for the passphrase: %w", err)
	}
	in := bufio.NewReader(f)
	ask := func(what string) (string, error) {
		a.note("%s", what)
		line, err := in.ReadString('\n')
		a.note("\n")
		return strings.TrimRight(line, "\r\n"), err
	}
	p, err := ask("Passphrase of the secret key: ")
	if err == nil && twice {
		var again string
		if again, err = ask("Again: "); err == nil && again != p {
			err = errors.New("that was not the same twice")
		}
	}
	err = errors.Join(err, unix.IoctlSetTermios(int(f.Fd()), setTermios, before))
	if err == nil && p == "" {
		err = errNoPassphrase
	}
	return p, err
}

var errNoPassphrase = fault.New(fault.Invalid, "the secret key needs a passphrase: type one at a terminal, or set %s (keygen --no-passphrase makes a key without)", passphraseVariable)
