package frame

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	rules "github.com/hotspot-otel/hotspot/internal/diagnosis"
)

func TestEveryLabelIsKnownWithItsSeverity(t *testing.T) {
	require.Len(t, labels, len(rules.Labels()))
	for _, l := range rules.Labels() {
		require.Contains(t, labels, l.String())
		severity := map[rules.Severity]Severity{rules.Info: Info, rules.Warn: Warn, rules.Error: Error}[l.Severity()]
		require.Equal(t, severity, labels[l.String()].severity, l)
	}
}

func TestARecordIsShownUntilItIsOver(t *testing.T) {
	r := New(time.Minute)
	say := func(state, sentence string, at float64) {
		logs, _ := record("web1", 7, "victim", "starved", state, sentence, plog.SeverityNumberWarn, after(at))
		r.Logs(logs, after(at))
	}
	shown := func(at float64) []Diagnosis { return r.Frame(after(at)).Diagnoses }

	say("started", "victim (7) waits", 0)
	require.Equal(t, []Diagnosis{{
		Host: "web1", Of: Party{7, "victim"}, Label: "starved", Severity: Warn, Sentence: "victim (7) waits", Lasted: 5,
	}}, shown(3))
	say("ongoing", "victim (7) still waits", 10)
	require.Equal(t, "victim (7) still waits", shown(11)[0].Sentence)
	say("ended", "victim (7) waits no more", 20)
	require.True(t, shown(21)[0].Over)
	require.Equal(t, "victim (7) waits no more", shown(21)[0].Sentence)
	require.Empty(t, shown(36))
}

func TestARecordWithoutAnEndIsForgotten(t *testing.T) {
	r := New(time.Minute)
	logs, _ := record("", 7, "victim", "starved", "started", "waits", plog.SeverityNumberWarn, after(0))
	r.Logs(logs, after(0))
	require.Len(t, r.Frame(after(59)).Diagnoses, 1)
	require.Empty(t, r.Frame(after(61)).Diagnoses)
}

func TestMetricsAloneTellOfDiagnoses(t *testing.T) {
	r := New(time.Minute)
	b := window("", after(0))
	b.of(7, "leak").diagnosed("oom_risk").gauge("process.memory.usage", 1)
	r.Metrics(b.Metrics, after(0))
	f := r.Frame(after(0))
	require.Len(t, f.Diagnoses, 1)
	require.Equal(t, "leak (7) grows towards its memory limit", f.Diagnoses[0].Sentence)
	require.Equal(t, Error, f.Diagnoses[0].Severity)
	require.Equal(t, "oom_risk", f.Processes[0].Diagnosis)

	b = window("", after(2))
	b.of(7, "leak").gauge("process.memory.usage", 1)
	r.Metrics(b.Metrics, after(2))
	require.Empty(t, r.Frame(after(2)).Diagnoses)
}

func TestTheRecordHasTheSentenceAndTheMetricsTheLife(t *testing.T) {
	r := New(time.Minute)
	one := func(at float64, label string) {
		b := window("", after(at))
		s := b.of(7, "victim").cpu(after(-9), at)
		if label != "" {
			s.diagnosed(label)
		}
		r.Metrics(b.Metrics, after(at))
	}
	one(0, "starved")
	logs, _ := record("", 7, "victim", "starved", "started", "victim (7) waits", plog.SeverityNumberWarn, after(0))
	r.Logs(logs, after(0))
	for at := 2.0; at < 300; at += 2 {
		one(at, "starved")
		f := r.Frame(after(at))
		require.Len(t, f.Diagnoses, 1, "said once, and confirmed since")
		require.Equal(t, "victim (7) waits", f.Diagnoses[0].Sentence)
		require.InDelta(t, 2+at, f.Diagnoses[0].Lasted, 1e-6)
	}
	one(300, "oom_risk")
	f := r.Frame(after(300))
	require.Len(t, f.Diagnoses, 1)
	require.Equal(t, "oom_risk", f.Diagnoses[0].Label, "its end may not be told")
}

func TestTheMostSevereComesFirstAndWhatIsOverLast(t *testing.T) {
	r := New(time.Minute)
	say := func(pid int64, label, state string, severity plog.SeverityNumber) {
		logs, _ := record("", pid, "p", label, state, "says so", severity, after(0))
		r.Logs(logs, after(0))
	}
	say(1, "cpu_bound", "started", plog.SeverityNumberInfo)
	say(2, "oom_kill", "", plog.SeverityNumberError)
	say(4, "noisy_neighbor", "started", plog.SeverityNumberWarn)
	say(3, "starved", "started", plog.SeverityNumberWarn)
	say(5, "oom_risk", "started", plog.SeverityNumberError)
	var pids []int64
	for _, d := range r.Frame(after(0)).Diagnoses {
		pids = append(pids, d.Of.Pid)
	}
	require.Equal(t, []int64{5, 3, 4, 1, 2}, pids)
	require.Len(t, r.Frame(after(59)).Diagnoses, 5, "a kill is shown for a minute")
}

// Without metrics the records tell of processes and waits what they can.
func TestRecordsAloneFillTheTables(t *testing.T) {
	r := New(time.Minute)
	logs, rec := record("", 7, "victim", "starved", "started", "waits", plog.SeverityNumberWarn, after(0))
	rec.Attributes().PutDouble("hotspot.evidence.wait_seconds", 2)
	one := rec.Attributes().PutEmptySlice("hotspot.aggressors").AppendEmpty().SetEmptyMap()
	one.PutInt("pid", 9)
	one.PutStr("name", "aggressor")
	one.PutDouble("wait", 1.5)
	r.Logs(logs, after(0))
	logs, rec = record("", 9, "aggressor", "noisy_neighbor", "started", "takes", plog.SeverityNumberWarn, after(0))
	rec.Attributes().PutDouble("hotspot.evidence.cpu_cores", 0.75)
	one = rec.Attributes().PutEmptySlice("hotspot.victims").AppendEmpty().SetEmptyMap()
	one.PutInt("pid", 7)
	one.PutStr("name", "victim")
	one.PutDouble("wait", 1.5)
	r.Logs(logs, after(0))

	f := r.Frame(after(1))
	require.Equal(t, []Wait{{
		Victim: Party{7, "victim"}, Aggressor: Party{9, "aggressor"}, Seconds: 1.5, Window: 2, Share: 0.75,
	}}, f.Waits)
	require.InDelta(t, 0.75, named(f, "aggressor").Cores, 1e-9)
	require.Equal(t, "starved", named(f, "victim").Diagnosis)
	require.InDelta(t, 2, f.Hosts[0].Window, 1e-9)
}

func TestOtherRecordsAreNotShown(t *testing.T) {
	logs, rec := record("", 7, "p", "x", "", "an access log", plog.SeverityNumberError, after(0))
	rec.SetEventName("http.request")
	r := New(time.Minute)
	r.Logs(logs, after(0))
	require.Empty(t, r.Frame(after(0)).Diagnoses)
	require.Empty(t, r.Frame(after(0)).Hosts)
}
