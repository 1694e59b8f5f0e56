package deploy

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Grafana is a dashboard of Grafana, as far as it is looked into.
type Grafana struct {
	UID         string
	Panels      []GrafanaPanel
	Annotations struct {
		List []struct {
			Name   string
			Target struct{ Expr string }
		}
	}
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
	Links []struct{ URL string }
}

// GrafanaPanel is a row, or a panel of the row before it.
type GrafanaPanel struct {
	ID                 int
	Type               string
	Title, Description string
	GridPos            struct{ X, Y, W, H int }
	Targets            []struct{ Expr, LegendFormat string }
	// Panels of a row that is folded.
	Panels []GrafanaPanel
}

// ReadGrafana returns the dashboard of one of [Names], with the panels of folded
// rows behind their row.
func ReadGrafana(name string) (*Grafana, error) {
	path := "grafana/" + name + ".json"
	text, err := files.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var g Grafana
	if err := json.Unmarshal(text, &g); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var flat []GrafanaPanel
	for _, p := range g.Panels {
		flat = append(flat, p)
		flat = append(flat, p.Panels...)
	}
	g.Panels = flat
	return &g, nil
}

// Queries returns what the panel asks, with Grafana's variables in it.
func (p GrafanaPanel) Queries() []Query {
	var all []Query
	for _, t := range p.Targets {
		all = append(all, Query{Expr: t.Expr, Legend: t.LegendFormat, Logs: p.Type == "logs"})
	}
	return all
}

// ofEverything are the values of the variables that leave nothing out, of a
// dashboard that shows the last quarter of an hour.
var ofEverything = strings.NewReplacer(
	"$host", ".*", "$process", ".*", "$diagnosis", ".*",
	"$__rate_interval", "1m", "$__range", "15m",
)

// OfEverything returns the query with values for Grafana's variables.
func (q Query) OfEverything() Query {
	q.Expr = ofEverything.Replace(q.Expr)
	return q
}
