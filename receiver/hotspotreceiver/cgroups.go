package hotspotreceiver

import (
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/hotspot-otel/hotspot/internal/groups"
	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadata"
)

// cgroupsWriter adds a resource of each control group.
type cgroupsWriter struct {
	accounts *groups.Accounts // nil: the view is off
	apart    bool             // each aggressor has a series of its own
}

func newCgroupsWriter(config *Config) cgroupsWriter {
	if !config.Cgroups.Enabled {
		return cgroupsWriter{}
	}
	return cgroupsWriter{
		accounts: groups.New(config.Cgroups.Max),
		apart:    len(config.Metrics.HotspotCgroupWaitTime.EnabledAttributes) > 0,
	}
}

func (c *cgroupsWriter) write(at pcommon.Timestamp, s *sampler.Snapshot, whose identifier, m *metricsWriter) {
	if c.accounts == nil {
		return
	}
	resource := metadata.NewResourceBuilder(m.attributes)
	for _, g := range c.accounts.Observe(s, whose) {
		c.record(at, g, m)
		resource.SetHotspotCgroupPath(g.Path)
		setKnown(resource.SetContainerID, g.ContainerID)
		setKnown(resource.SetK8sPodUID, g.PodUID)
		m.builder.EmitForResource(metadata.WithResource(resource.Emit()))
	}
}

func (c *cgroupsWriter) record(at pcommon.Timestamp, g *groups.Group, m *metricsWriter) {
	b := m.builder
	m.countSince(g.Since)
	b.RecordHotspotCgroupCPUTimeDataPoint(at, g.User.Seconds(), metadata.AttributeCPUModeUser)
	b.RecordHotspotCgroupCPUTimeDataPoint(at, g.System.Seconds(), metadata.AttributeCPUModeSystem)
	b.RecordHotspotCgroupRunQueueTimeDataPoint(at, g.RunQueue.Seconds())
	b.RecordHotspotCgroupPagingFaultsDataPoint(at, int64(g.MinorFaults), metadata.AttributeSystemPagingFaultTypeMinor)
	b.RecordHotspotCgroupPagingFaultsDataPoint(at, int64(g.MajorFaults), metadata.AttributeSystemPagingFaultTypeMajor)
	b.RecordHotspotCgroupMemoryUsageDataPoint(at, int64(g.RSS))
	if g.Limit > 0 {
		b.RecordHotspotCgroupMemoryLimitDataPoint(at, int64(min(g.Limit, math.MaxInt64)))
	}
	if g.Quota {
		b.RecordHotspotCgroupCPUThrottledTimeDataPoint(at, g.Throttled.Seconds())
	}
	for _, w := range g.Waits {
		if c.apart {
			m.countSince(w.Since)
		}
		b.RecordHotspotCgroupWaitTimeDataPoint(at, w.Total.Seconds(), w.Aggressor)
	}
}
