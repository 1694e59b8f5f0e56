package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// graph is what a panel shows, whoever draws it.
type graph struct {
	row, title, description string
	queries                 []Query
}

var (
	selectsByVariable = regexp.MustCompile(`,?\w+=~"\$\w+"`)
	emptySelector     = strings.NewReplacer("{,", "{", "{}", "", "[$__rate_interval]", "")
	ofTheRange        = strings.NewReplacer("bottomk(", "bottomk_min(", "topk(", "topk_max(")
)

// inMetricsQL returns a query as VictoriaMetrics' pages have it: they know no
// variables, a rate takes the interval of the graph, and the first few are chosen
// once for all of it; PromQL chooses others at each step, which are many in all.
func inMetricsQL(expr string) string {
	expr = emptySelector.Replace(selectsByVariable.ReplaceAllString(expr, ""))
	return ofTheRange.Replace(emptySelector.Replace(expr))
}

func TestInMetricsQL(t *testing.T) {
	for with, without := range map[string]string{
		`a`:                         `a`,
		`a{host_name=~"$host"}`:     `a`,
		`a{x="y",h=~"$h",p=~"$p"}`:  `a{x="y"}`,
		`a{h=~"$h",x!="y",p=~"$p"}`: `a{x!="y"}`,
		`sum by (h) (rate(a{h=~"$h"}[$__rate_interval]))`: `sum by (h) (rate(a))`,
		`topk(10, bottomk(2, a))`:                         `topk_max(10, bottomk_min(2, a))`,
	} {
		require.Equal(t, without, inMetricsQL(with))
	}
}

// Tables, logs and annotations are Grafana's alone.
func TestBothKindsOfDashboardsShowTheSameGraphs(t *testing.T) {
	for _, name := range Names {
		t.Run(name, func(t *testing.T) {
			g, err := ReadGrafana(name)
			require.NoError(t, err)
			v, err := ReadVMUI(name)
			require.NoError(t, err)
			require.Equal(t, "hotspot-"+name, g.UID)
			require.Equal(t, name+".json", v.Filename)

			var ofGrafana, ofVMUI []graph
			row := ""
			for _, p := range g.Panels {
				switch p.Type {
				case "row":
					row = p.Title
				case "timeseries":
					queries := p.Queries()
					for i := range queries {
						queries[i].Expr = inMetricsQL(queries[i].Expr)
					}
					ofGrafana = append(ofGrafana, graph{row, p.Title, p.Description, queries})
				}
			}
			for _, r := range v.Rows {
				for _, p := range r.Panels {
					ofVMUI = append(ofVMUI, graph{r.Title, p.Title, p.Description, p.Queries()})
					require.True(t, p.ShowLegend, p.Title)
					require.Len(t, p.Alias, len(p.Expr), p.Title)
				}
			}
			require.NotEmpty(t, ofGrafana)
			require.Equal(t, ofGrafana, ofVMUI)
		})
	}
}

func TestGrafanaPanelsHaveAPlaceOfTheirOwn(t *testing.T) {
	for _, name := range Names {
		t.Run(name, func(t *testing.T) {
			g, err := ReadGrafana(name)
			require.NoError(t, err)
			ids, cells := map[int]string{}, map[[2]int]string{}
			for _, p := range g.Panels {
				require.Empty(t, ids[p.ID], "%s has the id of it", p.Title)
				ids[p.ID] = p.Title
				at := p.GridPos
				require.LessOrEqual(t, at.X+at.W, 24, p.Title)
				require.Positive(t, at.W*at.H, p.Title)
				for x := at.X; x < at.X+at.W; x++ {
					for y := at.Y; y < at.Y+at.H; y++ {
						require.Empty(t, cells[[2]int{x, y}], "%s lies over it", p.Title)
						cells[[2]int{x, y}] = p.Title
					}
				}
			}
		})
	}
}

func TestGrafanaQueriesUseTheVariablesOfTheirDashboard(t *testing.T) {
	variable := regexp.MustCompile(`\$\{?(\w+)`)
	for _, name := range Names {
		t.Run(name, func(t *testing.T) {
			g, err := ReadGrafana(name)
			require.NoError(t, err)
			known := map[string]bool{"__rate_interval": true, "__range": true}
			used := map[string]bool{"datasource": true, "logs": true}
			for _, v := range g.Templating.List {
				known[v.Name] = true
			}
			for _, q := range grafanaQueries(g) {
				for _, match := range variable.FindAllStringSubmatch(q.Expr, -1) {
					require.True(t, known[match[1]], "%s is no variable: %s", match[1], q.Expr)
					used[match[1]] = true
				}
				require.NotContains(t, q.OfEverything().Expr, "$")
			}
			for _, v := range g.Templating.List {
				require.True(t, used[v.Name], "nothing asks for %s", v.Name)
			}
		})
	}
}

func grafanaQueries(g *Grafana) []Query {
	var all []Query
	for _, p := range g.Panels {
		all = append(all, p.Queries()...)
	}
	for _, a := range g.Annotations.List {
		if a.Target.Expr != "" {
			all = append(all, Query{Expr: a.Target.Expr})
		}
	}
	return all
}

// VictoriaMetrics forgives what Prometheus does not: its promtool reads all
// queries, as rules.
func TestEveryQueryOfGrafanaIsPromQL(t *testing.T) {
	rules := "groups: [{name: queries, rules: ["
	for _, name := range Names {
		g, err := ReadGrafana(name)
		require.NoError(t, err)
		for _, q := range grafanaQueries(g) {
			if !q.Logs {
				rules += fmt.Sprintf("{record: query, expr: %q}, ", q.OfEverything().Expr)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	require.NoError(t, os.WriteFile(file, []byte(rules+"]}]"), 0o600))
	promtool(t, "check", "rules", "--lint=none", file)
}
