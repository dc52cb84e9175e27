package pathguard

import (
	"os"
	"path/filepath"
	"slices"
)

// TrustedEnv is the environment variable that lists directories, separated as in
// PATH, whose owner and mode are not checked: volumes of a container that no other
// user can access, such as a Kubernetes emptyDir (mode 0777) or a bind mount owned by
// the machine's user. Their content is still checked.
const TrustedEnv = "BERTH_TRUSTED_DIRECTORIES"

// Trusted returns the directories in TrustedEnv. It ignores relative paths and "/".
func Trusted() []string {
	list := filepath.SplitList(os.Getenv(TrustedEnv))
	for i, dir := range list {
		list[i] = filepath.Clean(dir)
	}
	return slices.DeleteFunc(list, func(dir string) bool { return !filepath.IsAbs(dir) || filepath.Dir(dir) == dir })
}
