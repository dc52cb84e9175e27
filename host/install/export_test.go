package install

// SetFault has f called before and after every step; its error is the step's.
func (i *Installer) SetFault(f func(step string, done bool) error) { i.fault = f }

// CompareVersions is compareVersions.
var CompareVersions = compareVersions

// CheckLock is Lock.check.
func CheckLock(l Lock) error { return l.check() }
