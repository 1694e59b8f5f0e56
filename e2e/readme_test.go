package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The README's way to a distribution of one's own, word for word, with git and go
// and nothing else on the PATH, and the last commit of this repository.
func TestTheREADMEMakesADistribution(t *testing.T) {
	needsRoot(t)
	text, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n### In a distribution of your own\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n### ")
	script := scriptOf(t, section)
	path := regexp.MustCompile(`(?m)^    path: .*\n`)
	require.Regexp(t, path, script)
	replaces := regexp.MustCompile("`(replaces: .*?)`").FindStringSubmatch(section)
	require.NotNil(t, replaces)

	for name, script := range map[string]string{
		"with path":     script,
		"with replaces": strings.Replace(path.ReplaceAllString(script, ""), "\nexporters:", "\n"+replaces[1]+"\nexporters:", 1),
	} {
		t.Run(name, func(t *testing.T) {
			commands := strings.SplitAfter(strings.TrimSpace(script), "\n")
			commands[len(commands)-1] = "exec " + commands[len(commands)-1] // to be stopped
			cmd := exec.Command("/bin/sh", "-ec", strings.Join(commands, ""))
			cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "PATH="+onlyGoAndGit(t))
			cmd.Env = append(cmd.Env, fromHere(t)...)
			c := launch(t, cmd)
			for _, some := range []string{`"resource metrics": [1-9]`, `"data points": [1-9]`} {
				c.await(t, some, func() bool { return regexp.MustCompile(some).MatchString(c.output.String()) })
			}
			c.stop(t)
		})
	}
}

// scriptOf returns what a reader of a section does: the commands of its sh
// blocks, and files of its yaml blocks, whose first line says their name.
func scriptOf(t *testing.T, section string) string {
	t.Helper()
	var script strings.Builder
	for _, block := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(section, -1) {
		switch language, text := block[1], block[2]; language {
		case "sh":
			script.WriteString(text)
		case "yaml":
			name := regexp.MustCompile(`^# (\S+)\n`).FindStringSubmatch(text)
			require.NotNil(t, name, text)
			fmt.Fprintf(&script, "cat >%s <<'end'\n%send\n", name[1], text)
		default:
			require.Fail(t, language)
		}
	}
	return script.String()
}

// onlyGoAndGit returns a PATH with those, and what a shell has in it elsewhere.
func onlyGoAndGit(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"go", "git", "mkdir", "cat"} {
		program, err := exec.LookPath(name)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(program, filepath.Join(dir, name)))
	}
	return dir
}

// fromHere makes git take this repository for the one it would clone.
func fromHere(t *testing.T) []string {
	t.Helper()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	return []string{
		"GIT_CONFIG_COUNT=2",
		"GIT_CONFIG_KEY_0=url.file://" + root + ".insteadOf", "GIT_CONFIG_VALUE_0=https://github.com/hotspot-otel/hotspot",
		"GIT_CONFIG_KEY_1=safe.directory", "GIT_CONFIG_VALUE_1=*",
	}
}
