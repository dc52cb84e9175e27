package browser

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Every command line that the console shows is one that the binary takes: with --help each
// prints its own help, and an unknown flag or command fails.
func TestShownCommandsExist(t *testing.T) {
	h, paths := busy(t)
	b := h.open(t, wide).login(h.token)
	shown := make(map[string]string) // command to page
	visit := func(path string) {
		b.visit(path)
		for _, text := range b.commands() {
			shown[text] = path
		}
	}
	for _, page := range pages {
		visit(paths.Replace(page.path))
	}
	for _, path := range []string{"/events?type=order_*&subject=o-1&handler=echo&status=ok&since=1h&when=data.tier%20%3E%200",
		"/events?key=it%27s&class=trap", "/issues?state=all&handler=echo&class=trap", "/handlers", "/handlers/fraud-check", "/dead-letters", "/dead-letters?plugin=fraud-check",
		"/operations", "/plugins", "/orders", "/routes", "/handlers/echo/state", "/schedules", "/event-types", "/event-types/order_paid", "/cluster", "/configuration", "/audit", "/system"} {
		visit(path)
	}
	if len(shown) < 12 {
		t.Fatalf("only %d commands are shown: %v", len(shown), shown)
	}
	binary, err := filepath.Abs(os.Getenv("BERTH"))
	if err != nil {
		t.Fatal(err)
	}
	for text, page := range shown {
		checkCommand(t, binary, page, text)
	}
}

// commands returns the command lines that the page shows.
func (b *tab) commands() []string {
	b.t.Helper()
	return eval[[]string](b, `[...document.querySelectorAll("main code, main pre")].map((el) => el.textContent).filter((t) => t.startsWith("berth "))`)
}

// checkCommand fails the test when the binary does not know a command line of a page.
func checkCommand(t *testing.T, binary, page, text string) {
	t.Helper()
	line := strings.Split(strings.TrimSpace(text), " | ")[0]
	out, err := exec.Command("sh", "-c", binary+strings.TrimPrefix(line, "berth")+" --help").CombinedOutput()
	if err != nil {
		t.Errorf("%s shows %s: %v\n%s", page, text, err, out)
		return
	}
	_, usage, _ := strings.Cut(string(out), "Usage:\n")
	own, _, _ := strings.Cut(strings.TrimSpace(usage), "\n")
	if strings.Contains(string(out), "Available Commands:") {
		t.Errorf("%s shows %s, and there is no such command below %q", page, text, own)
	}
}
