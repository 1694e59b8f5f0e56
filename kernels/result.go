package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// result is what came of one test or subtest.
type result struct {
	action string // pass, fail or skip
	output []string
}

// parse takes the results out of what test binaries printed, one after the other.
func parse(ctx context.Context, log io.Reader) (map[string]result, error) {
	convert := exec.CommandContext(ctx, "go", "tool", "test2json")
	convert.Stdin = log
	text, err := convert.Output()
	if err != nil {
		return nil, fmt.Errorf("read the log: %w%s", err, said(err))
	}
	results := map[string]result{}
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var event struct{ Action, Test, Output string }
		if err := d.Decode(&event); errors.Is(err, io.EOF) {
			return results, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		if event.Test == "" {
			continue
		}
		r := results[event.Test]
		switch event.Action {
		case "pass", "fail", "skip":
			r.action = event.Action
		case "output":
			r.output = append(r.output, event.Output)
		}
		results[event.Test] = r
	}
}

// why returns the last that a test said: for one left out, the reason.
func (r result) why() string {
	for i := len(r.output) - 1; i >= 0; i-- {
		// As in "    file_test.go:12: the reason".
		if _, text, ok := strings.Cut(r.output[i], "_test.go:"); ok {
			_, text, _ = strings.Cut(text, ":")
			return strings.TrimSpace(text)
		}
	}
	return "said nothing"
}
