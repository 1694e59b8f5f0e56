package identity

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestCommandLine(t *testing.T) {
	for want, arguments := range map[string][]string{
		"nginx: master process nginx -g daemon off;": {"nginx: master process nginx -g daemon off;"},
		"sleep 5":                       {"sleep", "5"},
		"grep -e  x":                    {"grep", "-e", "", "x"},
		"a\ufffd[31mred\ufffd b\ufffdc": {"a\x1b[31mred\n", "b\xffc"},

		"mysql --password=*** db":              {"mysql", "--password=hunter2", "db"},
		"mysql --password *** db":              {"mysql", "--password", "hunter2", "db"},
		"psql --no-password -h db":             {"psql", "--no-password", "-h", "db"},
		"vault -token *** read":                {"vault", "-token", "s.abc", "read"},
		"env DB_PASSWORD=*** run":              {"env", "DB_PASSWORD=a b", "run"},
		"aws --secret-access-key *** s3":       {"aws", "--secret-access-key", "AKIA", "s3"},
		"x --API_KEY=*** --apikey=***":         {"x", "--API_KEY=1", "--apikey=2"},
		"java -Dkey.store.passPhrase=*** Main": {"java", "-Dkey.store.passPhrase=x", "Main"},
		"curl -H Authorization: ***":           {"curl", "-H", "Authorization: Bearer abc"},
		"curl -H X-Auth-Token: ***":            {"curl", "-H", "X-Auth-Token: abc"},
		"sh -c mysql --password ***":           {"sh", "-c", "mysql --password hunter2 db"},
		"sh -c echo a\ufffdTOKEN=***":          {"sh", "-c", "echo a\nTOKEN=x\nb"},
		"app postgres://u:***@db/x?y":          {"app", "postgres://u:pa:ss@db/x?y"},
		"app redis://:***@cache":               {"app", "redis://:pw@cache"},
		"app Server=db;Pwd=***":                {"app", "Server=db;Pwd=x;Encrypt=yes"},
		// What is no secret stays.
		"git fetch https://host:8080/a@b": {"git", "fetch", "https://host:8080/a@b"},
		"ssh -p2222 host":                 {"ssh", "-p2222", "host"},
		"tokenizer input.txt":             {"tokenizer", "input.txt"},
		"app --password=":                 {"app", "--password="},
		"app --token":                     {"app", "--token"},
	} {
		require.Equal(t, want, commandLine(arguments))
	}
}

func TestACommandLineIsBounded(t *testing.T) {
	long := commandLine([]string{"x", strings.Repeat("ä", maxCommandLine)})
	require.Equal(t, maxCommandLine, len(long))
	require.True(t, utf8.ValidString(long))
	odd := commandLine([]string{"xy", strings.Repeat("ä", maxCommandLine)})
	require.Equal(t, maxCommandLine-1, len(odd), "no half of a letter")
	require.True(t, utf8.ValidString(odd))
	many := commandLine(strings.Split(strings.Repeat("12345678,", maxCommandLine), ","))
	require.Equal(t, maxCommandLine, len(many))
	secret := commandLine([]string{strings.Repeat("x", maxCommandLine-20), "--password=" + strings.Repeat("y", maxCommandLine)})
	require.NotContains(t, secret, "y")
}

func FuzzCommandLine(f *testing.F) {
	f.Add("a\x00--password=b\x00c")
	f.Fuzz(func(t *testing.T, text string) {
		line := commandLine(strings.Split(text, "\x00"))
		require.True(t, utf8.ValidString(line))
		require.LessOrEqual(t, len(line), maxCommandLine)
		require.NotContains(t, line, "\n")
	})
}
