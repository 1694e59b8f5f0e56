package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a guest prints: ^V begins a line of the test's own, and lines of the
// kernel come between.
const guestLog = `=== RUN   TestEveryProgramLoadsAndAttaches
=== RUN   TestEveryProgramLoadsAndAttaches/census
--- PASS: TestEveryProgramLoadsAndAttaches/census (0.69s)
=== RUN   TestEveryProgramLoadsAndAttaches/oom
    load_kernel_linux_test.go:27: no such tracepoint
--- FAIL: TestEveryProgramLoadsAndAttaches/oom (0.69s)
--- FAIL: TestEveryProgramLoadsAndAttaches (3.83s)
=== RUN   TestAnOOMKillTellsWhomAndOfHowMuch
    oom_kernel_linux_test.go:27: it is warm
--- SKIP: TestAnOOMKillTellsWhomAndOfHowMuch (0.01s)
FAIL
=== RUN   TestScenarios
=== RUN   TestScenarios/1s
=== RUN   TestScenarios/1s/a_loop/1
=== RUN   TestScenarios/1s/a_loop/1/attempt
    cpu_kernel_linux_test.go:140: needs two CPUs
--- SKIP: TestScenarios/1s/a_loop/1/attempt (0.93s)
=== NAME  TestScenarios/1s/a_loop/1
    scenarios_kernel_linux_test.go:83: see why the attempt was skipped
--- SKIP: TestScenarios/1s/a_loop/1 (0.94s)
=== RUN   TestScenarios/1s/a_heap/1
[  334.388314] reboot: Power down
`

func TestNothingIsPassedOver(t *testing.T) {
	t.Chdir("..") // the tests are named by their sources
	log := strings.NewReplacer("=== ", "\x16=== ", "--- ", "\x16--- ").Replace(guestLog)
	results, err := parse(t.Context(), strings.NewReader(log))
	require.NoError(t, err)
	r := row{kernel: "6.12-amd64", version: "6.12.1-1", results: results, took: 90 * time.Second, again: true}
	require.Error(t, r.wrong())
	r.err = errors.Join(errDied, r.wrong())
	text := table([]row{r, {kernel: "sid-amd64", err: errors.New("cannot be fetched:\nno mirror")}})
	for _, part := range []string{
		"| 6.12.1-1 | 6.12-amd64 | attached, 0 right, **", " wrong** | does not attach, 0 right, **",
		"| does not attach, 0 right, 1 left out | 0 right, **1 wrong** | 0 right, **1 wrong**, 1 left out | 90 s, 2nd attempt |",
		"|  | sid-amd64 | – | – | – | – | – | – | – |",
		"* sid-amd64 : **cannot be fetched: no mirror**\n",
		"* 6.12-amd64 6.12.1-1: **the guest died**\n",
		"* 6.12-amd64 6.12.1-1: **oom does not attach: no such tracepoint**\n",
		"* 6.12-amd64 6.12.1-1: **contention does not attach: said nothing**\n",
		"* 6.12-amd64 6.12.1-1: **TestCensusOfAStoppedProcessIsItsRusage did not end**\n",
		"* 6.12-amd64 6.12.1-1, left out: TestAnOOMKillTellsWhomAndOfHowMuch: it is warm\n",
		"* 6.12-amd64 6.12.1-1, left out: TestScenarios/1s/a_loop/1: needs two CPUs\n",
		"* 6.12-amd64 6.12.1-1: **TestScenarios/1s/a_heap/1 ",
	} {
		require.Contains(t, text, part)
	}
}

func TestTheTableIsWrittenBetweenTheMarkers(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(page, []byte("before\n"+begin+"old\n"+end+"after\n"), 0o600))
	for range 2 {
		require.NoError(t, write(page, "new\n"))
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		require.Equal(t, "before\n"+begin+"\nnew\n\n"+end+"after\n", string(text))
	}
	require.NoError(t, os.WriteFile(page, []byte("before\n"+begin+"old\n"), 0o600))
	require.Error(t, write(page, "new\n"))
}
