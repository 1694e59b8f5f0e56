package screen

import (
	"fmt"
	"math"
	"time"

	"github.com/dustin/go-humanize"
)

// missing stands for what the data do not tell.
const missing = "-"

func percent(share float64) string { return number("%.1f", 100*share) }

func count(n float64) string { return number("%.0f", n) }

func number(format string, v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return missing
	}
	return fmt.Sprintf(format, v)
}

// size returns bytes with a unit. What goes down has a sign.
func size(bytes float64) string {
	switch {
	case math.IsNaN(bytes) || math.Abs(bytes) > math.MaxInt64:
		return missing
	case bytes < 0:
		return "-" + size(-bytes)
	}
	return humanize.IBytes(uint64(bytes))
}

// span returns seconds as people say them: 42s, 3m10s, 5h20m.
func span(seconds float64) string {
	if math.IsNaN(seconds) || seconds < 0 {
		return missing
	}
	const longest = 99 * 24 * time.Hour
	if seconds > longest.Seconds() {
		return ">99d"
	}
	d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
	switch {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
