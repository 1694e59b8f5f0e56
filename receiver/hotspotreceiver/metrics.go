package hotspotreceiver

import (
	"math"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/internal/selection"
	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadata"
)

// pairAttributes is how many attributes tell an aggressor from another.
const pairAttributes = 2

// metricsWriter turns a snapshot into metrics, one resource a process.
type metricsWriter struct {
	builder       *metadata.MetricsBuilder
	started       time.Time // what belongs to no process counts since then
	attributes    metadata.ResourceAttributesConfig
	kernelThreads bool
	chosen        selector
	maxPairs      int
	pairsApart    bool // each pair has a series of its own
	exitsUnseen   bool // no program reads them
	waitsUnseen   bool // nor who waits behind whom
	selector      *selection.Selector
	shortLived    shortLived
	leftOut       leftOut
	cgroups       cgroupsWriter
	waits         map[sampler.ID][]*sampler.Pair // of this snapshot, by victim
}

func newMetricsWriter(config *Config, set receiver.Settings) *metricsWriter {
	return &metricsWriter{
		builder:       metadata.NewMetricsBuilder(config.MetricsBuilderConfig, set),
		started:       time.Now(),
		attributes:    config.MetricsBuilderConfig.ResourceAttributes,
		kernelThreads: config.KernelThreads,
		chosen:        everyProcess{},
		maxPairs:      config.Contention.MaxPairs,
		pairsApart:    len(config.Metrics.HotspotProcessWaitTime.EnabledAttributes) == pairAttributes,
		cgroups:       newCgroupsWriter(config),
		selector:      selection.New(config.Selection),
		waits:         make(map[sampler.ID][]*sampler.Pair),
	}
}

// write returns the metrics of a snapshot and how many processes they are of.
func (m *metricsWriter) write(whose identifier, s *sampler.Snapshot, engine *diagnosis.Engine) (pmetric.Metrics, int) {
	at := pcommon.NewTimestampFromTime(s.End)
	resource := metadata.NewResourceBuilder(m.attributes)
	exported := m.selector.Choose(s.Windows, engine, m.mayExport)
	m.sortWaits(s, exported)
	m.leftOut.begin()
	processes := 0
	for i := range s.Windows {
		w := &s.Windows[i]
		if !exported[i] {
			m.leaveOut(w)
			continue
		}
		processes++
		m.record(at, w, s, engine.Label(w.ID))
		m.builder.EmitForResource(metadata.WithResource(processResource(resource, w.Process, whose.Describe(w.Process))))
	}
	m.cgroups.write(at, s, whose, m)
	m.recordHost(at, engine)
	return m.builder.Emit(), processes
}

// countSince sets the start time of the points that are recorded next: mdatagen's
// WithStartTimeOverride knows one for all of a resource.
func (m *metricsWriter) countSince(start time.Time) {
	m.builder.Reset(metadata.WithStartTime(pcommon.NewTimestampFromTime(start)))
}

func (m *metricsWriter) mayExport(w *sampler.Window, label diagnosis.Label) bool {
	return (!w.Kernel || m.kernelThreads || label != diagnosis.OK) && m.chosen.Exported(w.Process)
}

// leaveOut counts a process that is not exported in this window.
func (m *metricsWriter) leaveOut(w *sampler.Window) {
	if w.ShortLived {
		m.shortLived.add(w)
		return
	}
	m.leftOut.add(w)
}

// sortWaits picks the pairs that are exported, by victim: those of processes
// that are not would take the room of others.
func (m *metricsWriter) sortWaits(s *sampler.Snapshot, exported []bool) {
	clear(m.waits)
	for i := range s.Windows {
		if exported[i] {
			m.waits[s.Windows[i].ID] = nil
		}
	}
	room := m.maxPairs
	for _, p := range s.Pairs {
		if room == 0 {
			return
		}
		if before, ok := m.waits[p.Victim.ID]; ok {
			m.waits[p.Victim.ID] = append(before, p)
			room--
		}
	}
}

func (m *metricsWriter) recordHost(at pcommon.Timestamp, engine *diagnosis.Engine) {
	m.countSince(m.started)
	counts := engine.Count()
	for _, label := range diagnosis.Labels() {
		if !engine.Watches(label) {
			continue
		}
		m.builder.RecordHotspotHostDiagnosedDataPoint(at, int64(counts[label]), labelAttribute(label))
	}
	m.builder.RecordHotspotHostOtherCPUTimeDataPoint(at, m.leftOut.cpu.Seconds())
	m.builder.RecordHotspotHostOtherMemoryUsageDataPoint(at, int64(m.leftOut.memory))
	if m.exitsUnseen {
		return
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
	m.countSince(w.Created)
	b.RecordProcessCPUTimeDataPoint(at, total.User.Seconds(), user)
	b.RecordProcessCPUTimeDataPoint(at, total.System.Seconds(), system)
	b.RecordProcessCPUUtilizationDataPoint(at, w.Share(w.Used.User)/cpus, user)
	b.RecordProcessCPUUtilizationDataPoint(at, w.Share(w.Used.System)/cpus, system)
	b.RecordProcessPagingFaultsDataPoint(at, int64(total.MinorFaults), minor)
	b.RecordProcessPagingFaultsDataPoint(at, int64(total.MajorFaults), major)
	b.RecordProcessContextSwitchesDataPoint(at, int64(total.Voluntary), voluntary)
	b.RecordProcessContextSwitchesDataPoint(at, int64(total.Involuntary), involuntary)
	b.RecordHotspotProcessRunQueueTimeDataPoint(at, total.RunQueue.Seconds())
	if !m.waitsUnseen {
		b.RecordHotspotProcessWaitCausedDataPoint(at, w.TotalCaused.Seconds())
		if w.TotalVarious > 0 {
			b.RecordHotspotProcessWaitVariousDataPoint(at, w.TotalVarious.Seconds())
		}
	}
	if !w.Exited {
		m.recordLiving(at, w, s, label)
	}
	for _, p := range m.waits[w.ID] {
		// A pair that was forgotten begins at 0, later than it did before. Where pairs
		// have no series of their own they add up, which takes one start time.
		if m.pairsApart && p.Since.After(w.Created) {
			m.countSince(p.Since)
		} else {
			m.countSince(w.Created)
		}
		b.RecordHotspotProcessWaitTimeDataPoint(at, p.Total.Seconds(), int64(p.Aggressor.Pid), p.Aggressor.Name)
	}
}

// recordLiving records what only the living have.
func (m *metricsWriter) recordLiving(at pcommon.Timestamp, w *sampler.Window, s *sampler.Snapshot, label diagnosis.Label) {
	b := m.builder
	b.RecordProcessMemoryUsageDataPoint(at, int64(w.RSS))
	b.RecordProcessThreadCountDataPoint(at, int64(w.Threads))
	b.RecordHotspotProcessThreadMaxUtilizationDataPoint(at, w.Share(w.MaxThreadCPU))
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
