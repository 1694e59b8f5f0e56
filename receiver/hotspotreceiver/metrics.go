package hotspotreceiver

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadata"
)

// metricsWriter turns a snapshot into metrics, one resource a process.
type metricsWriter struct {
	builder       *metadata.MetricsBuilder
	attributes    metadata.ResourceAttributesConfig
	kernelThreads bool
}

func newMetricsWriter(config *Config, set receiver.Settings) *metricsWriter {
	return &metricsWriter{
		builder:       metadata.NewMetricsBuilder(config.MetricsBuilderConfig, set),
		attributes:    config.MetricsBuilderConfig.ResourceAttributes,
		kernelThreads: config.KernelThreads,
	}
}

// write returns the metrics of a snapshot and how many processes they are of.
func (m *metricsWriter) write(whose identifier, s *sampler.Snapshot, engine *diagnosis.Engine) (pmetric.Metrics, int) {
	at := pcommon.NewTimestampFromTime(s.End)
	resource := metadata.NewResourceBuilder(m.attributes)
	processes := 0
	for i := range s.Windows {
		w := &s.Windows[i]
		label := engine.Label(w.ID)
		if w.Kernel && !m.kernelThreads && label == diagnosis.OK {
			continue
		}
		processes++
		m.record(at, w, s, label)
		m.builder.EmitForResource(
			metadata.WithResource(processResource(resource, w.Process, whose.Of(w.Process))),
			// Sums count from the birth of the process.
			metadata.WithStartTimeOverride(pcommon.NewTimestampFromTime(w.Created)),
		)
	}
	counts := engine.Count()
	for _, label := range diagnosis.Labels() {
		m.builder.RecordHotspotHostDiagnosedDataPoint(at, int64(counts[label]), labelAttribute(label))
	}
	return m.builder.Emit(), processes
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
	b.RecordProcessMemoryUsageDataPoint(at, int64(w.RSS))
	b.RecordProcessPagingFaultsDataPoint(at, int64(total.MinorFaults), minor)
	b.RecordProcessPagingFaultsDataPoint(at, int64(total.MajorFaults), major)
	b.RecordProcessContextSwitchesDataPoint(at, int64(total.Voluntary), voluntary)
	b.RecordProcessContextSwitchesDataPoint(at, int64(total.Involuntary), involuntary)
	b.RecordProcessThreadCountDataPoint(at, int64(w.Threads))
	b.RecordHotspotProcessRunQueueTimeDataPoint(at, total.RunQueue.Seconds())
	b.RecordHotspotProcessThreadMaxUtilizationDataPoint(at, s.Share(w.MaxThreadCPU))
	b.RecordHotspotProcessMemoryGrowthDataPoint(at, w.Growth)
	if label != diagnosis.OK {
		b.RecordHotspotProcessDiagnosisDataPoint(at, 1, labelAttribute(label))
	}
}

func labelAttribute(l diagnosis.Label) metadata.AttributeHotspotDiagnosis {
	return metadata.MapAttributeHotspotDiagnosis[l.String()]
}
