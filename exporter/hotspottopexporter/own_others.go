//go:build !unix

package hotspottopexporter

import "time"

func cpuTime() (time.Duration, bool) { return 0, false }
