// Package docs tests that what is written here, and where else people and CI are
// told what to run, can be run.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var (
	code     = regexp.MustCompile("(?ms)^```\\w*\n(.*?)^```$|`([^`\n]+)`")
	makeLine = regexp.MustCompile(`(?m)(?:^\s*|&& |^step .*|^sudo .*|\()make ([^#&|)\n]+)`)
	quoted   = regexp.MustCompile(`"[^"]*"|'[^']*'`) // values of variables
	matrixed = regexp.MustCompile(`\$\{\{ matrix\.(\w+) \}\}`)
)

func TestEveryTargetThatIsNamedIsInTheMakefile(t *testing.T) {
	makefile := read(t, "../Makefile")
	phony := map[string]bool{} // a directory of that name would be up to date
	for target := range strings.FieldsSeq(regexp.MustCompile(`(?m)^\.PHONY: (.*)$`).FindStringSubmatch(makefile)[1]) {
		require.Regexp(t, `(?m)^`+target+`:`, makefile)
		phony[target] = true
	}
	for _, listed := range regexp.MustCompile(`(?m)^# ([a-z0-9-]+): `).FindAllStringSubmatch(makefile, -1) {
		require.True(t, phony[listed[1]], "make help lists %s", listed[1])
	}
	for file, commands := range told(t) {
		for _, line := range makeLine.FindAllStringSubmatch(commands, -1) {
			for word := range strings.FieldsSeq(quoted.ReplaceAllLiteralString(line[1], "")) {
				if !strings.Contains(word, "=") {
					require.True(t, phony[word], "%s: make %s", file, line[1])
				}
			}
		}
	}
}

// told returns the commands that readers and CI are told to run, by file.
func told(t *testing.T) map[string]string {
	t.Helper()
	commands := map[string]string{"../.ci/run": read(t, "../.ci/run")}
	for _, pattern := range []string{"../*.md", "*.md", "../bench/*.md", "../deploy/*/*.md"} {
		for _, file := range files(t, pattern) {
			for _, span := range code.FindAllStringSubmatch(read(t, file), -1) {
				commands[file] += span[1] + span[2] + "\n"
			}
		}
	}
	for _, file := range files(t, "../.github/workflows/*.yaml") {
		commands[file] = ran(t, file)
	}
	for _, file := range []string{"../README.md", "../CONTRIBUTING.md", "../.ci/run", "../.github/workflows/ci.yaml", "install.md"} {
		require.Regexp(t, makeLine, commands[file], file)
	}
	return commands
}

// ran returns what the steps of a workflow run, once for each value of the
// matrix that a step names.
func ran(t *testing.T, file string) string {
	t.Helper()
	var workflow struct {
		Jobs map[string]struct {
			Strategy struct{ Matrix map[string][]string }
			Steps    []struct{ Run string }
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, file)), &workflow))
	var all strings.Builder
	for _, job := range workflow.Jobs {
		for _, step := range job.Steps {
			values := []string{""}
			named := matrixed.FindStringSubmatch(step.Run)
			if named != nil {
				values = job.Strategy.Matrix[named[1]]
				require.NotEmpty(t, values, "%s: %s", file, step.Run)
			}
			for _, value := range values {
				all.WriteString(matrixed.ReplaceAllLiteralString(step.Run, value) + "\n")
			}
		}
	}
	return all.String()
}

func files(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	require.NoError(t, err)
	return found
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(content)
}
