package hotspotreceiver

import (
	"cmp"
	"math"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadata"
)

// How many processes that came and went within a window have a resource of their
// own: those that are among the first by CPU time of all processes.
const topShortLived = 10

// metricsWriter turns a snapshot into metrics, one resource a process.
type metricsWriter struct {
	builder       *metadata.MetricsBuilder
	attributes    metadata.ResourceAttributesConfig
	kernelThreads bool
	chosen        selector
	maxPairs      int
	shortLived    shortLived
	waits         map[sampler.ID][]*sampler.Pair // of this snapshot, by victim
}

func newMetricsWriter(config *Config, set receiver.Settings) *metricsWriter {
	return &metricsWriter{
		builder:       metadata.NewMetricsBuilder(config.MetricsBuilderConfig, set),
		attributes:    config.MetricsBuilderConfig.ResourceAttributes,
		kernelThreads: config.KernelThreads,
		chosen:        everyProcess{},
		maxPairs:      config.Contention.MaxPairs,
		waits:         make(map[sampler.ID][]*sampler.Pair),
	}
}

// write returns the metrics of a snapshot and how many processes they are of.
func (m *metricsWriter) write(whose identifier, s *sampler.Snapshot, engine *diagnosis.Engine) (pmetric.Metrics, int) {
	at := pcommon.NewTimestampFromTime(s.End)
	resource := metadata.NewResourceBuilder(m.attributes)
	m.sortWaits(s.Pairs)
	top := topCPU(s.Windows, topShortLived)
	processes := 0
	for i := range s.Windows {
		w := &s.Windows[i]
		label := engine.Label(w.ID)
		leftOut := w.Kernel && !m.kernelThreads && label == diagnosis.OK || !m.chosen.Exported(w.Process)
		if w.ShortLived && (leftOut || w.Used.CPU() < top) {
			m.shortLived.add(w)
			continue
		}
		if leftOut {
			continue
		}
		processes++
		m.record(at, w, s, label)
		m.builder.EmitForResource(
			metadata.WithResource(processResource(resource, w.Process, whose.Describe(w.Process))),
			// Sums count from the birth of the process.
			metadata.WithStartTimeOverride(pcommon.NewTimestampFromTime(w.Created)),
		)
	}
	m.recordHost(at, engine)
	return m.builder.Emit(), processes
}

// sortWaits picks the pairs that are exported, by victim.
func (m *metricsWriter) sortWaits(pairs []*sampler.Pair) {
	clear(m.waits)
	for _, p := range pairs[:min(len(pairs), m.maxPairs)] {
		m.waits[p.Victim.ID] = append(m.waits[p.Victim.ID], p)
	}
}

// topCPU returns the CPU time of the nth process by CPU time, at least 1 ns.
func topCPU(windows []sampler.Window, n int) time.Duration {
	most := make([]time.Duration, 0, n+1) // descending
	for i := range windows {
		used := windows[i].Used.CPU()
		if len(most) == n && used <= most[n-1] {
			continue
		}
		at, _ := slices.BinarySearchFunc(most, used, func(have, used time.Duration) int { return cmp.Compare(used, have) })
		most = slices.Insert(most, at, used)
		most = most[:min(len(most), n)]
	}
	if len(most) < n {
		return 1
	}
	return max(most[n-1], 1)
}

func (m *metricsWriter) recordHost(at pcommon.Timestamp, engine *diagnosis.Engine) {
	counts := engine.Count()
	for _, label := range diagnosis.Labels() {
		m.builder.RecordHotspotHostDiagnosedDataPoint(at, int64(counts[label]), labelAttribute(label))
	}
	m.shortLived.each(func(name string, cpu time.Duration) {
		m.builder.RecordHotspotHostShortLivedCPUTimeDataPoint(at, cpu.Seconds(), name)
	})
}

func (m *metricsWriter) record(at pcommon.Timestamp, w *sampler.Window, s *sampler.Snapshot, label diagnosis.Label) {
	b, total, cpus := m.builder, &w.Total, float64(max(s.CPUs, 1))
	const (
		user, system           = metadata.AttributeCPUModeUser, metadata.AttributeCPUModeSystem
		minor, major           = metadata.AttributeSystemPagingFaultTypeMinor, metadata.AttributeSystemPagingFaultTypeMajor
		voluntary, involuntary = metadata.AttributeProcessContextSwitchTypeVoluntary, metadata.AttributeProcessContextSwitchTypeInvoluntary
	)
	b.RecordProcessCPUTimeDataPoint(at, total.User.Seconds(), user)
	b.RecordProcessCPUTimeDataPoint(at, total.System.Seconds(), system)
	b.RecordProcessCPUUtilizationDataPoint(at, s.Share(w.Used.User)/cpus, user)
	b.RecordProcessCPUUtilizationDataPoint(at, s.Share(w.Used.System)/cpus, system)
	b.RecordProcessPagingFaultsDataPoint(at, int64(total.MinorFaults), minor)
	b.RecordProcessPagingFaultsDataPoint(at, int64(total.MajorFaults), major)
	b.RecordProcessContextSwitchesDataPoint(at, int64(total.Voluntary), voluntary)
	b.RecordProcessContextSwitchesDataPoint(at, int64(total.Involuntary), involuntary)
	b.RecordHotspotProcessRunQueueTimeDataPoint(at, total.RunQueue.Seconds())
	b.RecordHotspotProcessWaitCausedDataPoint(at, w.TotalCaused.Seconds())
	for _, p := range m.waits[w.ID] {
		b.RecordHotspotProcessWaitTimeDataPoint(at, p.Total.Seconds(), int64(p.Aggressor.Pid), p.Aggressor.Name)
	}
	if w.Exited {
		return // what follows only the living have
	}
	b.RecordProcessMemoryUsageDataPoint(at, int64(w.RSS))
	b.RecordProcessThreadCountDataPoint(at, int64(w.Threads))
	b.RecordHotspotProcessThreadMaxUtilizationDataPoint(at, s.Share(w.MaxThreadCPU))
	b.RecordHotspotProcessMemoryGrowthDataPoint(at, w.Growth)
	if w.Limit > 0 {
		b.RecordHotspotProcessMemoryLimitDataPoint(at, int64(min(w.Limit, math.MaxInt64)))
	}
	if left, grows := w.TimeToLimit(); grows {
		b.RecordHotspotProcessMemoryTimeToLimitDataPoint(at, left.Seconds())
	}
	if w.Quota > 0 {
		b.RecordHotspotProcessCPUThrottledTimeDataPoint(at, w.TotalThrottled.Seconds())
	}
	if label != diagnosis.OK {
		b.RecordHotspotProcessDiagnosisDataPoint(at, 1, labelAttribute(label))
	}
}

func labelAttribute(l diagnosis.Label) metadata.AttributeHotspotDiagnosis {
	return metadata.MapAttributeHotspotDiagnosis[l.String()]
}
