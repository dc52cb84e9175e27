package plugin

import (
	"errors"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/plugin/folder"
)

// finding is the result of one inspection of a file.
type finding struct {
	folder.Identity
	changed  bool // inspect again: the file was being changed
	retry    bool // inspect again although nothing changed
	state    folder.State
	claims   bool  // the name is to be claimed
	claimErr error // the name could not be claimed
}

// inspect reads a module's file and identifies its plugin.
func (m *Manager) inspect(path string) finding {
	c, err := folder.Read(path, m.config.MaxSize, abi.MaxManifest)
	f := finding{state: c.State}
	var refusal folder.Refusal
	switch {
	case errors.Is(err, folder.ErrChanged):
		return finding{changed: true}
	case errors.As(err, &refusal):
		f.Refusal = string(refusal)
		return f
	case err != nil:
		f.Incomplete, f.retry = "the file cannot be read: "+err.Error(), true
		return f
	}
	identity := folder.Identify(path, c)
	if identity.Manifest.Name != "" && c.Writing {
		// A part of a module that ends between two sections looks like a module. Like
		// exec(2), the Manager takes no file that a process may be writing to.
		f.Incomplete, f.retry = "a process has the file open for writing", true
		return f
	}
	f.Identity, f.claims = identity, identity.Manifest.Name != ""
	return f
}

// claim claims the name that was found. The caller occupies no slot, so that the claims
// of all files at a start reach the disk together.
func (m *Manager) claim(f *finding) {
	if f.claims {
		f.claimErr = m.config.Runner.Claim(m.work, f.Manifest.Name)
	}
}
