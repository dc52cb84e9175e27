package metrics

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// expression is PromQL of a file of the configuration.
type expression struct{ in, text string }

// rules are the expressions of the alert rules. Each rule is complete.
func rules(t *testing.T) (list []expression) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "config", "prometheus", "berth.rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" || rule.Expr == "" || rule.Annotations["summary"] == "" || !slices.Contains([]string{"warning", "critical"}, rule.Labels["severity"]) {
				t.Errorf("the rule %q is not complete", rule.Alert)
			}
			list = append(list, expression{"alert " + rule.Alert, rule.Expr})
		}
	}
	return list
}

// dashboard are the expressions of the dashboard, whose panels do not overlap.
func dashboard(t *testing.T) (list []expression) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "config", "grafana", "berth.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Title, UID string
		Panels     []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
		Templating  struct{ List []struct{ Query any } }
		Annotations struct{ List []struct{ Name, Expr string } }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	taken := map[[2]int]string{}
	for _, p := range file.Panels {
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := taken[at]; other != "" || at[0] >= 24 {
					t.Errorf("%s is over %q, or beside the grid", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
		for _, target := range p.Targets {
			list = append(list, expression{"panel " + p.Title, target.Expr})
		}
	}
	for _, a := range file.Annotations.List {
		list = append(list, expression{"annotation " + a.Name, a.Expr})
	}
	for _, v := range file.Templating.List {
		if query, ok := v.Query.(map[string]any); ok {
			list = append(list, expression{"variable", query["query"].(string)})
		}
	}
	return list
}

// Every metric and label that the alert rules and the dashboard name is one of the host.
func TestConfigurationNamesMetricsOfTheHost(t *testing.T) {
	labels := map[string][]string{}
	for _, m := range List() {
		labels[m.Name] = m.Labels
		if m.Type == string(histograms) {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				labels[m.Name+suffix] = append([]string{"le"}, m.Labels...)
			}
			labels[m.Name] = nil // a histogram has no series of this name
		}
	}
	name := regexp.MustCompile(`\bberth_[a-z0-9_]+`)
	selector := regexp.MustCompile(`\b(berth_[a-z0-9_]+)\{([^}]*)\}`)
	matcher := regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)`)
	grouping := regexp.MustCompile(`\bby \(([^)]*)\)`)
	all := append(rules(t), dashboard(t)...)
	if len(all) < 40 {
		t.Fatalf("there are %d expressions only", len(all))
	}
	for _, e := range all {
		used := name.FindAllString(e.text, -1)
		var own []string
		for _, metric := range used {
			if labels[metric] == nil && !slices.ContainsFunc(List(), func(m Metric) bool { return m.Name == metric && m.Type != string(histograms) }) {
				t.Errorf("%s: there is no series %s", e.in, metric)
			}
			own = append(own, labels[metric]...)
		}
		for _, s := range selector.FindAllStringSubmatch(e.text, -1) {
			for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
				if m[1] != "instance" && !slices.Contains(labels[s[1]], m[1]) {
					t.Errorf("%s: %s has no label %s", e.in, s[1], m[1])
				}
			}
		}
		for _, g := range grouping.FindAllStringSubmatch(e.text, -1) {
			for label := range strings.SplitSeq(g[1], ",") {
				if label = strings.TrimSpace(label); label != "instance" && !slices.Contains(own, label) {
					t.Errorf("%s: no series has the label %s", e.in, label)
				}
			}
		}
		if !balanced(e.text) {
			t.Errorf("%s: the brackets are not in pairs: %s", e.in, e.text)
		}
		if strings.Contains(e.text, "histogram_quantile") && !strings.Contains(e.text, "_bucket") {
			t.Errorf("%s: a quantile is of buckets", e.in)
		}
		for _, metric := range used { // counters only make sense as rates
			counts := strings.HasSuffix(metric, "_total") || strings.HasSuffix(metric, "_bucket")
			if counts && !regexp.MustCompile(`(rate|increase)\(`+metric).MatchString(e.text) {
				t.Errorf("%s: %s is not in rate() or increase()", e.in, metric)
			}
		}
	}
}

// balanced reports whether the brackets of an expression are in pairs.
func balanced(text string) bool {
	closing := map[rune]rune{')': '(', ']': '[', '}': '{'}
	var open []rune
	quoted := false
	for _, r := range text {
		switch {
		case r == '"':
			quoted = !quoted
		case quoted:
		case strings.ContainsRune("([{", r):
			open = append(open, r)
		case closing[r] != 0:
			if len(open) == 0 || open[len(open)-1] != closing[r] {
				return false
			}
			open = open[:len(open)-1]
		}
	}
	return len(open) == 0 && !quoted
}
