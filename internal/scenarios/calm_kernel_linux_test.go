package scenarios

import (
	"os"
	"strconv"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// lookBack is how many windows the rule with the longest memory goes by: what is
// not said in these is not said of what goes on as it does.
const lookBack = 3

// ofCalm returns those of which nothing is to be said.
func ofCalm() []scenario {
	return []scenario{
		{
			name: "two processes that pass a byte to and fro are left alone",
			play: func(s *stage) { s.enters("players", workload.Start(s, "pingpong").Pid()) },

			windows: lookBack,
		},
		{
			name: "a large heap that is stable once it is filled is left alone",
			play: stableHeap,
			// Two to be filled in, and what comes after.
			windows: 2 + lookBack,
		},
		{
			name: "a quiet host is left alone",
			play: func(s *stage) { s.enters("sleepers", workload.Start(s, "sleepers", "20").Pid()) },

			windows: lookBack,
		},
	}
}

func stableHeap(s *stage) {
	// So long that it is filled over two windows, whenever it begins, and as large
	// as the rules call large: more would take all of a slow CPU.
	fill := s.interval * 5 / 4
	s.enters("heap", workload.Start(s, "heap", strconv.Itoa(520*mib/os.Getpagesize()), fill.String(), "2000").Pid())
}
