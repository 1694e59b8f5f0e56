package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metricsql"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/hotspot-otel/hotspot/deploy"
	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// What the dashboards and alerts ask is asked of the real stores, and looked at in
// a real browser, after everything that can be diagnosed has been.
func TestDashboardsAndAlertsShowWhatIsWrong(t *testing.T) {
	needsRoot(t)
	began := time.Now()
	keepOff := leaveACPU(t)
	s := startStores(t)
	c := run(t, binary(t), write(t, s.exporting("batch-job, api-server, cache, worker, solver, launcher, indexer")))
	cast := playEverything(t, c, s, keepOff)

	t.Run("every graph and table has data", func(t *testing.T) {
		for _, name := range deploy.Names {
			dashboard, err := deploy.ReadGrafana(name)
			require.NoError(t, err)
			row := ""
			for _, p := range dashboard.Panels {
				if p.Type == "row" {
					row = p.Title
				}
				for _, q := range p.Queries() {
					t.Run(name+"/"+row+"/"+p.Title+"/"+q.Legend, func(t *testing.T) {
						q := q.OfEverything()
						if q.Logs {
							records, err := s.logs.LogsQL(q.Expr)
							require.NoError(t, err)
							require.NotEmpty(t, records, q.Expr)
							return
						}
						require.NotEmpty(t, s.askSince(t, began, q.Expr), q.Expr)
					})
				}
			}
			for _, a := range dashboard.Annotations.List {
				if a.Target.Expr != "" {
					require.NotEmpty(t, s.askSince(t, began, deploy.Query{Expr: a.Target.Expr}.OfEverything().Expr), a.Name)
				}
			}
		}
	})

	t.Run("every variable has values", func(t *testing.T) {
		values := regexp.MustCompile(`^label_values\((.*),(\w+)\)$`)
		for _, name := range deploy.Names {
			dashboard, err := deploy.ReadGrafana(name)
			require.NoError(t, err)
			for _, v := range dashboard.Templating.List {
				if v.Type == "query" {
					match := values.FindStringSubmatch(v.Definition)
					require.NotNil(t, match, v.Definition)
					of := deploy.Query{Expr: match[1]}.OfEverything().Expr
					values := promQL(t, s.metrics, fmt.Sprintf("count by (%s) (%s)", match[2], of))
					require.NotEmpty(t, values, v.Definition)
					require.NotEmpty(t, values[0].Labels[match[2]], v.Definition)
				}
			}
		}
	})

	t.Run("the graphs of VictoriaMetrics name who does it", func(t *testing.T) {
		shown := cast.shown()
		dashboard, err := deploy.ReadVMUI("host")
		require.NoError(t, err)
		for _, row := range dashboard.Rows {
			for _, p := range row.Panels {
				var legends []string
				for _, q := range p.Queries() {
					of := s.askSince(t, began, q.Expr)
					require.NotEmpty(t, of, q.Expr)
					for _, one := range of {
						legends = append(legends, legend(one, q.Legend))
					}
				}
				for _, legend := range shown[p.Title] {
					require.Contains(t, legends, legend, p.Title)
				}
				delete(shown, p.Title)
			}
		}
		require.Empty(t, shown, "no such graphs")
	})

	t.Run("every alert", func(t *testing.T) {
		rules, err := deploy.ReadRules()
		require.NoError(t, err)
		diagnosis := regexp.MustCompile(`hotspot_diagnosis="(\w+)"`)
		for _, r := range rules {
			t.Run(r.Alert, func(t *testing.T) {
				switch match := diagnosis.FindStringSubmatch(r.Expr); {
				case match != nil:
					// Those of others on the host may be there as well.
					var pids []string
					for _, one := range s.askSince(t, began, r.Expr) {
						pids = append(pids, one.Labels["process_pid"])
					}
					require.Contains(t, pids, strconv.Itoa(cast[match[1]]))
				case r.Alert == "HotspotExporterFails":
					require.NotEmpty(t, s.askSince(t, began, r.Expr))
				case r.Alert == "HotspotHostSilent":
					require.Empty(t, promQL(t, s.metrics, r.Expr))
					in20Minutes := time.Now().Add(20 * time.Minute).Unix()
					require.NotEmpty(t, promQL(t, s.metrics, fmt.Sprintf("(%s) @ %d", r.Expr, in20Minutes)), "if nothing came until then")
				default:
					// What a sound receiver has no reason to say: the metrics are there, or
					// are among those it may have.
					_ = s.askSince(t, began, r.Expr)
					for _, selector := range selectors(t, r.Expr) {
						if len(s.askSince(t, began, selector)) == 0 {
							require.True(t, declared(t, selector), "%s is none of the receiver's metrics", selector)
						}
					}
				}
			})
		}
	})

	t.Run("the pages of the stores", func(t *testing.T) { lookAtPages(t, c, s, cast) })
	c.stop(t)
}

// parts are the pids of the processes each diagnosis is made of.
type parts map[string]int

// leaveACPU keeps this test, and what it starts, off one CPU, and returns the
// option that pins a workload to that.
func leaveACPU(t *testing.T) string {
	t.Helper()
	option, ok := workload.LeaveCPU(t)
	if !ok {
		skip(t, "needs two CPUs")
	}
	return option
}

// playEverything has each diagnosis made, one after the other but for the two that
// are worth a picture, and returns when the store has all of them.
func playEverything(t *testing.T, c *collector, s backends, keptCPU string) parts {
	t.Helper()
	cast := parts{}
	await := func(label string) {
		t.Helper()
		query := fmt.Sprintf(`last_over_time(hotspot_process_diagnosis_ratio{hotspot_diagnosis=%q,process_pid="%d"}[5m])`,
			label, cast[label])
		c.await(t, label, func() bool { return len(promQL(t, s.metrics, query)) > 0 })
	}
	start := func(label, name string, args ...string) *workload.Process {
		t.Helper()
		// They are looked at long after they were started.
		p := workload.Start(t, name, append([]string{"-life=15m"}, args...)...)
		cast[label] = p.Pid()
		return p
	}
	// So far from nice that it has its CPU whatever else runs on this host.
	const first = "-nice=-15"
	start("noisy_neighbor", "busy", keptCPU, first, "-comm=batch-job")
	start("starved", "busy", keptCPU, "-nice=19", "-comm=api-server")
	memory := workload.NewCgroup(t, "memory")
	memory.SetMemory(1 << 30)
	memory.Add(start("oom_risk", "leak", "-comm=cache", strconv.Itoa(6<<20)).Pid())

	quota := workload.NewCgroup(t, "cpu")
	quota.SetQuota(25*time.Millisecond, 100*time.Millisecond)
	throttled := start("cpu_throttled", "busy", "-comm=worker")
	quota.Add(throttled.Pid())
	await("cpu_throttled")
	throttled.Stop()
	loop := start("cpu_bound", "busy", "-comm=solver")
	await("cpu_bound")
	loop.Stop()
	storm := start("fork_storm", "spawn", first, "-comm=launcher", "300", "2ms")
	await("fork_storm")
	storm.Stop()
	thrash := start("mem_thrashing", "refault", first, "-comm=indexer", "256")
	await("mem_thrashing")
	thrash.Stop()
	await("starved")
	await("noisy_neighbor")
	await("oom_risk")
	return cast
}

// shown returns by panel of the host's dashboard what has to be in its legend.
func (p parts) shown() map[string][]string {
	named := func(name, label string) string { return fmt.Sprintf("%s (%d)", name, p[label]) }
	victim, noisy, leak := named("api-server", "starved"), named("batch-job", "noisy_neighbor"), named("cache", "oom_risk")
	return map[string][]string{
		"Diagnosed processes": {"oom_risk", "mem_thrashing", "starved", "noisy_neighbor", "cpu_throttled", "fork_storm", "cpu_bound"},
		"Diagnoses": {
			"oom_risk: " + leak, "mem_thrashing: " + named("indexer", "mem_thrashing"),
			"starved: " + victim, "noisy_neighbor: " + noisy,
			"cpu_throttled: " + named("worker", "cpu_throttled"), "fork_storm: " + named("launcher", "fork_storm"),
			"cpu_bound: " + named("solver", "cpu_bound"),
		},
		"Waits behind others":   {victim + " behind " + noisy},
		"Waits caused":          {noisy},
		"Run queue time":        {victim},
		"CPU of the host":       {"exported processes", "processes left out", "short-lived processes"},
		"CPU by process":        {noisy},
		"Busiest thread":        {noisy},
		"Short-lived processes": {"launcher"},
		"Growth":                {leak},
		"Time to limit":         {leak},
		"Minor faults":          {named("indexer", "mem_thrashing")},
	}
}

// selectors returns those of a query.
func selectors(t *testing.T, query string) []string {
	t.Helper()
	parsed, err := metricsql.Parse(query)
	require.NoError(t, err, query)
	var all []string
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		if m, ok := e.(*metricsql.MetricExpr); ok {
			all = append(all, string(m.AppendString(nil)))
		}
	})
	require.NotEmpty(t, all, query)
	return all
}

// declared tells whether the receiver has metrics of its own that a selector may
// select. Counters that have not counted anything have no series.
func declared(t *testing.T, selector string) bool {
	t.Helper()
	text, err := os.ReadFile("../metadata.yaml")
	require.NoError(t, err)
	var metadata struct {
		Telemetry struct {
			Metrics map[string]any `yaml:"metrics"`
		} `yaml:"telemetry"`
	}
	require.NoError(t, yaml.Unmarshal(text, &metadata))
	require.NotEmpty(t, metadata.Telemetry.Metrics)
	for name := range metadata.Telemetry.Metrics {
		if strings.Contains(selector, `"otelcol_`+name+`(_total)?"`) {
			return true
		}
	}
	return false
}
