// Package hotspottopexporter draws what flows through metrics and logs pipelines
// on a terminal: diagnoses, and tables of CPU, waits and memory.
package hotspottopexporter

//go:generate go tool -modfile=../../tools/otel/go.mod mdatagen metadata.yaml
