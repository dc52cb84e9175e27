package pathguard

import (
	"os"
	"path/filepath"
	"slices"
)

// TrustedEnv is the environment variable that lists directories, separated as in
// PATH, whose owner and mode are not looked at: volumes of a container that no other
// user reaches, such as a Kubernetes emptyDir (mode 0777) or a bind mount that the
// machine's user owns. What is in them is still looked at.
const TrustedEnv = "BERTH_TRUSTED_DIRECTORIES"

// Trusted returns the directories that TrustedEnv lists. An entry that is no
// absolute path counts for nothing, and "/" does not either.
func Trusted() []string {
	list := filepath.SplitList(os.Getenv(TrustedEnv))
	for i, dir := range list {
		list[i] = filepath.Clean(dir)
	}
	return slices.DeleteFunc(list, func(dir string) bool { return !filepath.IsAbs(dir) || filepath.Dir(dir) == dir })
}
