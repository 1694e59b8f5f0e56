// Package hotspotreceiver says of every process of a Linux host how much CPU
// and memory it uses and why it is slow.
package hotspotreceiver

//go:generate go tool -modfile=../../tools/otel/go.mod mdatagen metadata.yaml
