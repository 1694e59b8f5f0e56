package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/hotspot-otel/hotspot/testdata/backend"
	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// Two processes that always want the same CPU, as the stores tell of them. What
// they hold is held against the kernel's own accounts.
func TestStoresTellWhoWaitedBehindWhom(t *testing.T) {
	needsRoot(t)
	c, stores := exportToStores(t)
	aggressor := workload.Start(t, "busy", "-cpu=0", "-comm=aggressor")
	by := int64(aggressor.Pid())
	var ran account
	read := func() { ran.read(t, func() float64 { return schedstat(t, by, 0) }) }
	read() // before there can be a pair
	victim := workload.Start(t, "busy", "-cpu=0", "-nice=19", "-comm=victim")
	of := int64(victim.Pid())
	pair := fmt.Sprintf(`hotspot_process_wait_time_seconds_total{process_pid="%d",hotspot_aggressor_pid="%d"}`, of, by)

	const windows = 20 // a wait lasts up to a third of one
	var first, last backend.Sample
	c.await(t, "20 windows with both", func() bool {
		read()
		samples := stores.samples(t, pair)
		if len(samples) <= windows {
			return false
		}
		first, last = samples[0], samples[windows]
		return ran.at[len(ran.at)-1] > at(last)
	})
	grown := func(metric string, pid int64) float64 {
		samples := stores.samples(t, fmt.Sprintf(`%s{process_pid="%d"}`, metric, pid))
		return sampleAt(t, samples, last.At).Value - sampleAt(t, samples, first.At).Value
	}
	used, waited, length := ran.when(at(last))-ran.when(at(first)), last.Value-first.Value, last.At.Sub(first.At).Seconds()
	cpu, wanted := grown("process_cpu_time_seconds_total", by),
		grown("process_cpu_time_seconds_total", of)+grown("hotspot_process_run_queue_time_seconds_total", of)
	t.Logf("in %.1f s: the aggressor ran %.3f s (schedstat), %.3f s in the store; the victim waited %.3f s behind it, and ran or waited %.3f s",
		length, used, cpu, waited, wanted)
	require.Greater(t, waited, length/4, "they did share a CPU")
	require.InEpsilon(t, used, cpu, 0.05)
	require.InEpsilon(t, used, waited, 0.05)
	// A loop always runs or waits. Threads of Go's runtime may wait beside it.
	require.GreaterOrEqual(t, wanted, 0.98*length)
	since := sampleAt(t, stores.samples(t, fmt.Sprintf(`process_cpu_time_seconds_total{process_pid="%d"}`, by)), last.At)
	require.InEpsilon(t, ran.when(at(last)), since.Value, 0.05, "since its birth")

	started := stores.awaitLog(t, c, of, `hotspot.diagnosis:=starved hotspot.diagnosis.state:=started`)
	require.Contains(t, started["_msg"], fmt.Sprintf("victim (%d) waited ", of))
	require.Contains(t, started["_msg"], fmt.Sprintf("behind aggressor (%d)", by))
	require.Equal(t, "Warn", started["severity"])
	require.Equal(t, "hotspot.diagnosis.starved", started["event.name"])
	require.Equal(t, "victim", started["process.executable.name"])
	require.GreaterOrEqual(t, number(t, started["hotspot.evidence.wait_ratio"]), number(t, started["hotspot.evidence.wait_ratio.threshold"]))
	// What the record says of the window is by how much the metric grew since the
	// window before, or more of them: on a busy host a pair is not in each.
	end, err := time.Parse(time.RFC3339Nano, started["_time"])
	require.NoError(t, err)
	samples := stores.samples(t, pair)
	in := slices.Index(samples, sampleAt(t, samples, end.Truncate(time.Millisecond)))
	growth, before := samples[in].Value, end.Add(-time.Duration(number(t, started["hotspot.window"])*1e9))
	if in > 0 {
		growth -= samples[in-1].Value
	}
	if in == 0 || samples[in-1].At.Sub(before).Abs() < 5*time.Millisecond {
		require.InDelta(t, growth, blamed(t, started["hotspot.aggressors"], by), 1e-6)
	} else {
		require.Less(t, blamed(t, started["hotspot.aggressors"], by), growth+1e-6)
	}
	noisy := stores.awaitLog(t, c, by, `hotspot.diagnosis:=noisy_neighbor`)
	require.Positive(t, blamed(t, noisy["hotspot.victims"], of))

	diagnosed := fmt.Sprintf(`max_over_time(hotspot_process_diagnosis_ratio{process_pid="%d",hotspot_diagnosis="starved"}[5m]) == 1`, of)
	worst := fmt.Sprintf(`topk(10, sum by (process_executable_name, hotspot_aggressor_name) (rate(hotspot_process_wait_time_seconds_total{process_pid="%d"}[30s])))`, of)
	for name, store := range map[string]*backend.Server{"VictoriaMetrics": stores.metrics, "Prometheus": stores.scraped} {
		c.await(t, name+": "+diagnosed, func() bool { return len(promQL(t, store, diagnosed)) == 1 })
		c.await(t, name+": "+worst, func() bool {
			return slices.ContainsFunc(promQL(t, store, worst), func(s backend.Series) bool {
				return maps.Equal(s.Labels, map[string]string{"process_executable_name": "victim", "hotspot_aggressor_name": "aggressor"})
			})
		})
	}
	documented, err := os.ReadFile("../docs/backends.md")
	require.NoError(t, err)
	for _, metric := range promQL(t, stores.metrics, `group by (__name__) ({__name__=~"(hotspot|process)_.*"})`) {
		require.Contains(t, string(documented), "| `"+metric.Labels["__name__"]+"` |")
	}
	for _, pid := range []int64{of, by} {
		stores.requireSame(t, c, pid)
	}
	c.stop(t)
}

// A process that takes a known amount of memory a second, in a control group
// that has a known amount of it.
func TestStoresTellOfALeakBeforeTheKernelEndsIt(t *testing.T) {
	needsRoot(t)
	const rate, limit = 16 << 20, 256 << 20
	group := newMemoryGroup(t, limit)
	c, stores := exportToStores(t)
	leak := workload.Start(t, "leak", "-comm=leaking", strconv.Itoa(rate))
	group.add(t, leak.Pid())
	pid := int64(leak.Pid())

	killed := stores.awaitLog(t, c, pid, `event.name:=hotspot.oom_kill`)
	require.Equal(t, "Error", killed["severity"])
	require.Contains(t, killed["_msg"], fmt.Sprintf("leaking (%d) was killed by the kernel for want of memory", pid))
	risk := stores.awaitLog(t, c, pid, `hotspot.diagnosis:=oom_risk hotspot.diagnosis.state:=started`)
	require.Equal(t, "Error", risk["severity"])
	require.Contains(t, risk["_msg"], fmt.Sprintf("leaking (%d) is on its way out of memory", pid))
	require.Less(t, risk["_time"], killed["_time"], "said before it happens")

	of := func(metric string) []backend.Sample {
		return stores.samples(t, fmt.Sprintf(`%s{process_pid="%d"}`, metric, pid))
	}
	usage, growth, left := of("process_memory_usage_bytes"), of("hotspot_process_memory_growth_bytes_per_second"), of("hotspot_process_memory_time_to_limit_seconds")
	// Dead, but not reaped yet, it has a sample without memory.
	first, last := usage[0], slices.MaxFunc(usage, func(a, b backend.Sample) int { return cmp.Compare(a.Value, b.Value) })
	require.InEpsilon(t, rate, (last.Value-first.Value)/last.At.Sub(first.At).Seconds(), 0.2)
	slices.SortFunc(growth, func(a, b backend.Sample) int { return cmp.Compare(a.Value, b.Value) })
	require.InEpsilon(t, rate, growth[len(growth)/2].Value, 0.2, "the median")
	for _, allowed := range of("hotspot_process_memory_limit_bytes")[1:] { // in the first it was in no group yet
		require.EqualValues(t, limit, allowed.Value)
	}
	require.NotEmpty(t, left)
	for _, l := range left[1:] {
		// Its code and heap are not charged to the group.
		require.InDelta(t, limit-sampleAt(t, usage, l.At).Value, l.Value*sampleAt(t, growth, l.At).Value, 32<<20, "bytes")
	}
	c.stop(t)
}

// backends are what the collector exports to.
type backends struct{ metrics, logs, scraped *backend.Server }

// exportToStores runs the distribution with the files of the repository for each
// store, in one, with windows of a second.
func exportToStores(t *testing.T) (*collector, backends) {
	t.Helper()
	path, page := binary(t), freeAddress(t)
	s := backends{backend.StartVictoriaMetrics(t), backend.StartVictoriaLogs(t), backend.StartPrometheus(t, page)}
	t.Setenv("VICTORIAMETRICS_URL", s.metrics.URL)
	t.Setenv("VICTORIALOGS_URL", s.logs.URL)
	t.Setenv("PROMETHEUS_LISTEN", page)
	c := run(t, path, "../configs/victoriametrics.yaml", "../configs/prometheus.yaml", `yaml:{
receivers: {hotspot: {collection_interval: 1s, initial_delay: 0s, contention: {max_pairs: 500}}},
service: {pipelines: {metrics: {exporters: [otlp_http/victoriametrics, prometheus]}}}}`)
	c.await(t, "a window", func() bool { return len(promQL(t, s.metrics, "hotspot_host_diagnosed")) > 0 })
	return c, s
}

// samples returns all that VictoriaMetrics holds of a metric, the sums of series
// that differ in other labels.
func (s backends) samples(t *testing.T, selector string) []backend.Sample {
	t.Helper()
	sums := map[time.Time]float64{}
	for _, series := range promQL(t, s.metrics, selector+"[5m]") {
		for _, sample := range series.Samples {
			sums[sample.At] += sample.Value
		}
	}
	var all []backend.Sample
	for _, at := range slices.SortedFunc(maps.Keys(sums), time.Time.Compare) {
		all = append(all, backend.Sample{At: at, Value: sums[at]})
	}
	return all
}

// awaitLog returns the first record of a process that VictoriaLogs selects.
func (s backends) awaitLog(t *testing.T, c *collector, pid int64, filter string) map[string]string {
	t.Helper()
	query := fmt.Sprintf(`process.pid:=%d %s | sort by (_time) | limit 1`, pid, filter)
	var found []map[string]string
	c.await(t, query, func() bool {
		var err error
		found, err = s.logs.LogsQL(query)
		require.NoError(t, err)
		return len(found) > 0
	})
	return found[0]
}

// requireSame requires that Prometheus has nothing of a process that
// VictoriaMetrics has not, by the same name and labels.
func (s backends) requireSame(t *testing.T, c *collector, pid int64) {
	t.Helper()
	// Values are sorted.
	read := func(store *backend.Server, own ...string) map[string][]float64 {
		values := map[string][]float64{}
		for _, series := range promQL(t, store, fmt.Sprintf(`{process_pid="%d"}[5m]`, pid)) {
			for _, label := range own {
				require.Contains(t, series.Labels, label)
				delete(series.Labels, label)
			}
			name := fmt.Sprint(series.Labels) // sorted
			for _, sample := range series.Samples {
				values[name] = append(values[name], sample.Value)
			}
			slices.Sort(values[name])
		}
		return values
	}
	scraped, count, missing := read(s.scraped, "job", "instance"), 0, ""
	t.Cleanup(func() {
		if t.Failed() && missing != "" {
			t.Log("missing: " + missing)
		}
	})
	require.Greater(t, len(scraped), 12, "metrics of a process")
	c.await(t, "what Prometheus has, in VictoriaMetrics", func() bool {
		count, missing = 0, ""
		sent := read(s.metrics, "scope_name", "scope_version")
		for name, values := range scraped {
			for _, value := range values {
				count++
				// VictoriaMetrics keeps 13 digits or so.
				near := 1e-11 * math.Abs(value)
				if i, _ := slices.BinarySearch(sent[name], value-near); i == len(sent[name]) || sent[name][i] > value+near {
					missing = fmt.Sprint(value, " of ", name, " in ", sent[name])
				}
			}
		}
		return missing == ""
	})
	t.Logf("VictoriaMetrics has all %d values that Prometheus has, of %d series of process %d", count, len(scraped), pid)
	require.Greater(t, count, 5*len(scraped))
}

func promQL(t *testing.T, store *backend.Server, query string) []backend.Series {
	t.Helper()
	all, err := store.PromQL(query)
	require.NoError(t, err)
	return all
}

func at(s backend.Sample) pcommon.Timestamp { return pcommon.NewTimestampFromTime(s.At) }

func sampleAt(t *testing.T, samples []backend.Sample, at time.Time) backend.Sample {
	t.Helper()
	i := slices.IndexFunc(samples, func(s backend.Sample) bool { return s.At.Equal(at) })
	require.GreaterOrEqual(t, i, 0, "no sample at %v in %v", at, samples)
	return samples[i]
}

// blamed returns the seconds a record's aggressors or victims have of a process.
func blamed(t *testing.T, others string, pid int64) float64 {
	t.Helper()
	var all []struct {
		PID  int64
		Wait float64
	}
	require.NoError(t, json.Unmarshal([]byte(others), &all), others)
	for _, one := range all {
		if one.PID == pid {
			return one.Wait
		}
	}
	require.Fail(t, "not among them", "%d: %s", pid, others)
	return 0
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(text, 64)
	require.NoError(t, err)
	return n
}
