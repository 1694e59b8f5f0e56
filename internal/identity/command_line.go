package identity

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// maxCommandLine is how long a command line is at most, in bytes.
const maxCommandLine = 4096

// masked stands for a secret.
const masked = "***"

// What a secret is called, in any case.
const secret = `(?i:pass(?:word|wd|phrase)|pwd|secret|token|credential|(?:api|access|private|auth)[-_.]?key|authorization)`

var (
	// assigned is a name and its value in one argument: --password=x, TOKEN=x,
	// -Dstore.password=x, "Authorization: x". All that follows is the value.
	assigned = regexp.MustCompile(`(?s)^(.*?` + secret + `[\w.-]*\s*[=:]\s*)\S`)
	// option is one whose value is the rest of the argument or the next one.
	option = regexp.MustCompile(`(?:^|\s)--?[\w.-]*` + secret + `[\w.-]*(\s+|$)`)
	// login is that of a URL: scheme://user:password@host.
	login = regexp.MustCompile(`(\w://[^\s/:@]*:)[^\s@/]+@`)
)

// commandLine joins the arguments with blanks. What looks like a secret is
// masked: best effort, since any argument may be one.
func commandLine(arguments []string) string {
	var line strings.Builder
	isValue := false
	for i, a := range arguments {
		if line.Len() > maxCommandLine {
			break
		}
		if i > 0 {
			line.WriteByte(' ')
		}
		if isValue && !strings.HasPrefix(a, "-") && a != "" {
			line.WriteString(masked)
			isValue = false
			continue
		}
		// What follows is not shown; the rest of a secret may be needed to know it.
		a, isValue = mask(cut(a, 2*maxCommandLine))
		line.WriteString(sampler.Printable(a))
	}
	return cut(line.String(), maxCommandLine)
}

// mask masks the secrets of one argument; true says that the next is one.
func mask(argument string) (string, bool) {
	argument = login.ReplaceAllString(argument, "${1}"+masked+"@")
	if at := assigned.FindStringSubmatchIndex(argument); at != nil {
		argument = argument[:at[3]] + masked
	}
	at := option.FindStringSubmatchIndex(argument)
	if at == nil {
		return argument, false
	}
	if at[1] == len(argument) {
		return argument, true
	}
	return argument[:at[3]] + masked, false
}

// cut returns at most so many bytes of valid text.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
