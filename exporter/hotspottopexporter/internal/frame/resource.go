package frame

import "go.opentelemetry.io/collector/pdata/pcommon"

// resource is what is wanted of the attributes of one.
type resource struct {
	host, name, cgroup string
	id                 id
	isProcess          bool
}

func (r *resource) read(attributes pcommon.Map) {
	*r = resource{}
	for name, value := range attributes.All() {
		switch name {
		case "host.name":
			r.host = value.Str()
		case "process.pid":
			r.id.pid, r.isProcess = value.Int(), true
		case "process.creation.time":
			r.id.created = value.Str()
		case "process.executable.name":
			r.name = value.Str()
		case "process.linux.cgroup":
			r.cgroup = value.Str()
		}
	}
}
