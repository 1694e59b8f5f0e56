package deploy

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Rule is an alert.
type Rule struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

// ReadRules returns the alerts of all groups.
func ReadRules() ([]Rule, error) {
	const path = "prometheus/hotspot.rules.yaml"
	text, err := files.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Groups []struct{ Rules []Rule }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var all []Rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all, nil
}
