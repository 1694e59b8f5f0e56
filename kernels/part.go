package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// part is some tests that speak for one program, or for the whole.
type part struct {
	of    string // what they are about: a column of the table
	file  string
	tests string // a regular expression of their names
	below string // which subtests, as -test.run has it, if not all
	long  bool   // left out of a short run
}

const (
	loads     = "loads" // no column, but the first word in each
	hotplug   = "hotplug"
	scenarios = "scenarios"
)

var (
	programs = []string{"census", "contention", "exits", "oom"}
	columns  = append(slices.Clip(programs), hotplug, scenarios)
)

var parts = []part{
	{of: loads, file: "bpf/load_kernel_linux_test.go", tests: "."},
	{of: "census", file: "bpf/census_kernel_linux_test.go", tests: "."},
	{of: "census", file: "bpf/asleep_kernel_linux_test.go", tests: ".", long: true},
	{of: "census", file: "bpf/fields_linux_test.go", tests: "OfTheRunningKernel"},
	{of: "contention", file: "bpf/contention_kernel_linux_test.go", tests: "."},
	{of: "contention", file: "bpf/departure_kernel_linux_test.go", tests: "."},
	{of: "contention", file: "bpf/marks_kernel_linux_test.go", tests: "."},
	{of: "exits", file: "bpf/exits_kernel_linux_test.go", tests: "."},
	{of: "contention", file: "internal/sampler/contention_kernel_linux_test.go", tests: "WaitIsAttributed|InvoluntarySwitches"},
	{of: "contention", file: "internal/sampler/contention_kernel_linux_test.go", tests: "TimeHeldBack", long: true},
	{of: "exits", file: "internal/sampler/lives_kernel_linux_test.go", tests: "ShortLived", long: true},
	{of: "exits", file: "internal/sampler/lives_kernel_linux_test.go", tests: "Burst", long: true},
	{of: "exits", file: "internal/sampler/lives_kernel_linux_test.go", tests: "Exec|Leader|Zombie"},
	{of: hotplug, file: "internal/sampler/hotplug_kernel_linux_test.go", tests: "."},
	{of: "oom", file: "bpf/oom_kernel_linux_test.go", tests: "."},
	{
		of: scenarios, file: "internal/scenarios/scenarios_kernel_linux_test.go", tests: "^TestScenarios$",
		below: "/^1s$/(a_busy_loop_is_limited|the_nice_one_is_starved)",
	},
}

var testFunc = regexp.MustCompile(`(?m)^func (Test\w+)\(t `)

// names returns the tests of a part, from its source.
func (p part) names() ([]string, error) {
	text, err := os.ReadFile(p.file)
	if err != nil {
		return nil, err
	}
	wanted := regexp.MustCompile(p.tests)
	var names []string
	for _, found := range testFunc.FindAllSubmatch(text, -1) {
		if name := string(found[1]); wanted.MatchString(name) && name != "TestMain" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s has no test %s", p.file, p.tests)
	}
	return names, nil
}

// pack puts into a directory the test binaries and a script that runs them.
func pack(ctx context.Context, into, arch string, short bool) error {
	run := map[string][]string{} // by folder
	var folders []string
	for _, p := range parts {
		if short && p.long {
			continue
		}
		names, err := p.names()
		if err != nil {
			return err
		}
		folder := path.Dir(p.file)
		if !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
		for _, name := range names {
			run[folder] = append(run[folder], "^"+name+"$"+p.below)
		}
	}
	script := "export HOTSPOT_REQUIRE_KERNEL=1\ncode=0\n"
	for _, folder := range folders {
		binary := path.Base(folder) + ".test"
		build := exec.CommandContext(ctx, "go", "test", "-c", "-o", filepath.Join(into, binary), "./"+folder)
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build the tests of %s: %w", folder, err)
		}
		script += fmt.Sprintf("./%s -test.v=test2json -test.run='%s' || code=$?\n", binary, strings.Join(run[folder], "|"))
	}
	return os.WriteFile(filepath.Join(into, "run"), []byte(script+"exit $code\n"), 0o644)
}
