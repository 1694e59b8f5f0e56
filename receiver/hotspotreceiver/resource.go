package hotspotreceiver

import (
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/hotspot-otel/hotspot/internal/identity"
	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadata"
)

// processResource returns the resource of a process: the same for its metrics
// and its logs. Of one that was never seen there is the pid only.
func processResource(b *metadata.ResourceBuilder, p sampler.Process, id identity.Identity) pcommon.Resource {
	b.SetProcessPid(int64(p.Pid))
	if seen := !p.Created.IsZero(); seen {
		b.SetProcessParentPid(int64(p.Parent))
		b.SetProcessExecutableName(p.Name)
		b.SetProcessCreationTime(p.Created.UTC().Format(creationTime))
	}
	setKnown(b.SetProcessLinuxCgroup, id.Cgroup)
	setKnown(b.SetContainerID, id.ContainerID)
	setKnown(b.SetK8sPodUID, id.PodUID)
	setKnown(b.SetProcessExecutablePath, id.ExecutablePath)
	setKnown(b.SetProcessCommandLine, id.CommandLine)
	setKnown(b.SetProcessOwner, id.Owner)
	return b.Emit()
}

// creationTime is ISO 8601. Hundredths are what /proc shows of a start time.
const creationTime = "2006-01-02T15:04:05.00Z07:00"

func setKnown(set func(string), value string) {
	if value != "" {
		set(value)
	}
}
