package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// VMUI is a dashboard of VictoriaMetrics' own pages.
type VMUI struct {
	Title    string    `json:"title"`
	Filename string    `json:"filename"`
	Rows     []VMUIRow `json:"rows"`
}

// VMUIRow is a group of panels.
type VMUIRow struct {
	Title  string      `json:"title"`
	Panels []VMUIPanel `json:"panels"`
}

// VMUIPanel is a graph.
type VMUIPanel struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	Unit        string `json:"unit"`
	// Width is in twelfths of the page.
	Width      int      `json:"width"`
	ShowLegend bool     `json:"showLegend"`
	Alias      []string `json:"alias"`
	Expr       []string `json:"expr"`
}

// ReadVMUI returns the dashboard of one of [Names]. A key that is not known is an
// error: these pages pass over it in silence.
func ReadVMUI(name string) (*VMUI, error) {
	path := "victoriametrics/" + name + ".json"
	text, err := files.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var v VMUI
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &v, nil
}

// Queries returns what the panel asks.
func (p VMUIPanel) Queries() []Query {
	var all []Query
	for i, expr := range p.Expr {
		q := Query{Expr: expr}
		if i < len(p.Alias) {
			q.Legend = p.Alias[i]
		}
		all = append(all, q)
	}
	return all
}
