// Package deploy has the dashboards and alert rules for what the receiver sends.
//
// Users load the files as they are. Go reads them only to hold them to each
// other, to the documentation and, in the tests of the distribution, to a store.
package deploy

import "embed"

//go:embed grafana/*.json victoriametrics/*.json prometheus/hotspot.rules.yaml
var files embed.FS

// Names of the dashboards: there is one of each for Grafana and for VictoriaMetrics'
// own pages.
var Names = []string{"fleet", "host"}

// Query is an expression that a dashboard or a rule asks a store.
type Query struct {
	Expr string
	// Legend names a series by its labels, as {{label}}; of graphs only.
	Legend string
	// Logs tells LogsQL from PromQL.
	Logs bool
}
