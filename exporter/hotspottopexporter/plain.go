package hotspottopexporter

import (
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/hotspot-otel/hotspot/exporter/hotspottopexporter/internal/screen"
)

// plain writes each frame as text, for what is no terminal.
type plain struct {
	out    io.Writer
	rows   int
	log    *zap.Logger
	failed bool
}

func (p *plain) show(s screen.Show) {
	_, err := io.WriteString(p.out, screen.Plain(s.Frame, s.Own, p.rows))
	if err != nil && !p.failed {
		p.log.Error("The view cannot be written", zap.Error(err))
	}
	p.failed = err != nil
}

func (p *plain) pulse() time.Duration { return 0 }

func (p *plain) close() {}
