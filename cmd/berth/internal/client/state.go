package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// State is what a running host writes into its data directory.
type State struct {
	URL string `json:"url"`
	PID int    `json:"pid"`

	CertFile string `json:"cert_file,omitempty"` // of its certificate, when it speaks TLS

	Directory string `json:"directory,omitempty"` // what relative paths of its configuration are relative to
	Config    string `json:"config,omitempty"`    // path of its configuration, which need not exist
}

// StateFile is the file of the State.
const StateFile = "host.json"

// ReadState reads the state of the host that runs on a data directory.
func ReadState(dataDir string) (state State, err error) {
	path := filepath.Join(dataDir, StateFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state, fmt.Errorf("no host is running for the data directory %s: start one with 'berth serve', or say which with --data-dir "+
			"or BERTH_URL", dataDir)
	}
	if err != nil {
		return state, err
	}
	if err := json.Unmarshal(text, &state); err != nil || state.URL == "" {
		return state, fmt.Errorf("%s is damaged: restart the host", path)
	}
	return state, nil
}

// Write replaces the state in a data directory. After an error there is no state: the state
// of an earlier host would lead commands to an address that is now free, or another program's.
func (s State) Write(dataDir string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	path := filepath.Join(dataDir, StateFile)
	temp := path + ".tmp"
	if err = os.WriteFile(temp, text, 0o600); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
		RemoveState(dataDir)
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// RemoveState removes the state from a data directory.
func RemoveState(dataDir string) { _ = os.Remove(filepath.Join(dataDir, StateFile)) }
