package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
)

const (
	rulesFile = "prometheus/hotspot.rules.yaml"
	testsFile = "prometheus/hotspot.rules_test.yaml"
)

func TestRulesAreGood(t *testing.T) {
	promtool(t, "check", "rules", rulesFile)
}

func TestRulesFire(t *testing.T) {
	promtool(t, "test", "rules", testsFile)
}

// promtool is of Debian's prometheus; make test unpacks it where nothing is to be
// left out.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("../_build/promtool")
	if err != nil {
		path, err = exec.LookPath("promtool")
	}
	if err != nil {
		if os.Getenv("HOTSPOT_REQUIRE_KERNEL") == "1" {
			require.NoError(t, err)
		}
		t.Skip("needs promtool, of Debian's package prometheus")
	}
	output, err := exec.Command(path, args...).CombinedOutput()
	require.NoError(t, err, string(output))
	t.Log(string(output))
}

func TestEveryDiagnosisHasAnAlert(t *testing.T) {
	severities := map[string]string{"oom_risk": "critical", "cpu_bound": "info"}
	rules, err := ReadRules()
	require.NoError(t, err)
	label := regexp.MustCompile(`hotspot_diagnosis="(\w+)"`)
	byLabel := map[string]Rule{}
	for _, r := range rules {
		if match := label.FindStringSubmatch(r.Expr); match != nil {
			byLabel[match[1]] = r
		}
	}
	for _, l := range diagnosis.Labels() {
		name := l.String()
		require.Contains(t, byLabel, name)
		severity := severities[name]
		if severity == "" {
			severity = "warning"
		}
		require.Equal(t, severity, byLabel[name].Labels["severity"], name)
		require.Equal(t, "#"+name, byLabel[name].Annotations["runbook_url"][strings.Index(byLabel[name].Annotations["runbook_url"], "#"):])
		require.Contains(t, byLabel[name].Annotations["summary"], "$labels.process_executable_name")
	}
	require.Len(t, byLabel, len(diagnosis.Labels()))
}

func TestEveryAlertIsFiredByATest(t *testing.T) {
	text, err := os.ReadFile(testsFile)
	require.NoError(t, err)
	var file struct {
		Tests []struct {
			Alerts []struct {
				Name     string           `yaml:"alertname"`
				Expected []map[string]any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	fired := map[string]bool{}
	for _, test := range file.Tests {
		for _, alert := range test.Alerts {
			if len(alert.Expected) > 0 {
				fired[alert.Name] = true
			}
		}
	}
	rules, err := ReadRules()
	require.NoError(t, err)
	for _, r := range rules {
		require.NotEmpty(t, r.For, r.Alert)
		require.True(t, fired[r.Alert], r.Alert)
	}
}

// Links are into the main branch of this repository, where the pages are those of
// this checkout.
func TestLinksLeadToHeadings(t *testing.T) {
	const repository = "https://github.com/hotspot-otel/hotspot/blob/main/"
	var links []string
	rules, err := ReadRules()
	require.NoError(t, err)
	for _, r := range rules {
		links = append(links, r.Annotations["runbook_url"])
	}
	for _, name := range Names {
		g, err := ReadGrafana(name)
		require.NoError(t, err)
		for _, l := range g.Links {
			if strings.HasPrefix(l.URL, "https:") {
				links = append(links, l.URL)
			}
		}
	}
	for _, link := range links {
		page, found := strings.CutPrefix(link, repository)
		require.True(t, found, "%q is not in %s", link, repository)
		page, anchor, _ := strings.Cut(page, "#")
		text, err := os.ReadFile(filepath.Join("..", page))
		require.NoError(t, err)
		if anchor != "" {
			require.Contains(t, headings(string(text)), anchor, link)
		}
	}
}

// headings returns the anchors GitHub gives those of a page.
func headings(page string) []string {
	var anchors []string
	fenced := false
	for line := range strings.Lines(page) {
		fenced = fenced != strings.HasPrefix(line, "```")
		if text, found := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); found && line[0] == '#' && !fenced {
			anchor := strings.ToLower(strings.TrimSpace(text))
			anchor = regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(anchor, "")
			anchors = append(anchors, strings.ReplaceAll(anchor, " ", "-"))
		}
	}
	return anchors
}

func TestHeadings(t *testing.T) {
	require.Equal(t, []string{"diagnosis-guide", "oom_risk", "who-waits-behind-whom-contention"},
		headings("# Diagnosis guide\n## oom_risk\n```\n# no\n```\ntext\n### Who waits, behind whom (contention)\n#no\n"))
}
