package install

import "os"

// SetFault has f called before and after every step; its error is the step's.
func (i *Installer) SetFault(f func(step string, done bool) error) { i.fault = f }

// CheckLock is Lock.check.
func CheckLock(l Lock) error { return l.check() }

// SetSync calls f with each path before it is synced. Its error becomes that of the sync.
func (i *Installer) SetSync(f func(path string) error) {
	i.store.sync = func(file *os.File) error {
		if err := f(file.Name()); err != nil {
			return err
		}
		return file.Sync()
	}
}
