package frame

import (
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
)

func TestTextIsNothingButText(t *testing.T) {
	for given, want := range map[string]string{
		"postgres":                   "postgres",
		"kworker/0:1-events":         "kworker/0:1-events",
		"\x1b[2J\x1b]0;owned\x07":    "�[2J�]0;owned�",
		"a\r\nb\tc\x00":              "a��b�c�",
		"\u009b31m":                  "�31m", // the same as ESC [ to some terminals
		"\x9b31m":                    "�31m",
		"cut off \xe4\xb8":           "cut off ��",
		"世界":                         "世界",
		"user\u202egnp.exe":          "user�gnp.exe", // turns the direction of writing
		"zero\u200bwidth":            "zero�width",
		"e\u0301":                    "e�",
		"\u2028line\u00a0nbsp\ufeff": "�line�nbsp�",
	} {
		require.Equal(t, want, Printable(given), "%q", given)
	}
}

func FuzzTextIsNothingButText(f *testing.F) {
	f.Add("\x1b[31m")
	f.Add("世\xff")
	f.Fuzz(func(t *testing.T, s string) {
		text := Printable(s)
		require.True(t, utf8.ValidString(text))
		require.LessOrEqual(t, len(text), maxText+utf8.UTFMax)
		for _, r := range text {
			require.True(t, unicode.IsPrint(r), "%q", r)
		}
		require.Equal(t, text, Printable(text))
	})
}

// Whatever the data bring is printable in a frame.
func TestAllOfAFrameIsPrintable(t *testing.T) {
	const evil = "\x1b[2Jx"
	r := New(time.Minute)
	for i := range 2 {
		b := window(evil, after(2*float64(i)))
		b.of(7, evil).cpu(after(-9), 1).waited(after(-9), 9, evil, float64(i)).diagnosed(evil)
		b.ResourceMetrics().At(0).Resource().Attributes().PutStr("process.linux.cgroup", evil)
		r.Metrics(b.Metrics, after(2*float64(i)))
	}
	logs, rec := record(evil, 8, evil, evil, "started", evil, plog.SeverityNumberWarn, after(0))
	one := rec.Attributes().PutEmptySlice("hotspot.aggressors").AppendEmpty().SetEmptyMap()
	one.PutStr("name", evil)
	r.Logs(logs, after(0))
	quiet, rec := record("only logs", 8, evil, evil, "started", evil, plog.SeverityNumberWarn, after(0))
	rec.Attributes().PutEmptySlice("hotspot.victims").AppendEmpty().SetEmptyMap().PutStr("name", evil)
	r.Logs(quiet, after(0))

	f := r.Frame(after(2))
	const clean = "�[2Jx"
	require.Equal(t, clean, f.Hosts[0].Name)
	for _, p := range f.Processes {
		require.Equal(t, clean, p.Name)
		require.Equal(t, clean, p.Diagnosis)
	}
	require.Equal(t, clean, f.Processes[0].Cgroup)
	require.Len(t, f.Waits, 2)
	for _, w := range f.Waits {
		require.Equal(t, clean, w.Victim.Name)
		require.Equal(t, clean, w.Aggressor.Name)
	}
	require.Len(t, f.Diagnoses, 3)
	for _, d := range f.Diagnoses {
		require.Equal(t, clean, d.Label)
		require.NotContains(t, d.Sentence, "\x1b")
		require.Contains(t, d.Sentence, clean)
	}
}
