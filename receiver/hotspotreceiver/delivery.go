package hotspotreceiver

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// How many batches wait for a pipeline that is slow. Sums are cumulative, so the
// metrics of a window that is dropped are in the next; a log record is not, and
// windows with any are few.
const (
	metricsWaiting = 1
	logsWaiting    = 64
)

var errSlowPipeline = errors.New("the pipeline has not taken the batches before")

// delivery hands batches to one pipeline in their order and apart from the loop:
// one that is slow or blocks puts off no window. It ends when waiting is closed
// and empty.
type delivery struct {
	waiting chan func(context.Context)
	log     *zap.Logger // names the signal
	dropped int         // since it was last said
	said    time.Time
}

func newDelivery(room int, log *zap.Logger) *delivery {
	return &delivery{waiting: make(chan func(context.Context), room), log: log}
}

func (d *delivery) run(ctx context.Context) {
	for send := range d.waiting {
		send(ctx)
	}
}

// How often it is said at most that a pipeline is slow: it may be for hours.
const slowInterval = time.Minute

// offer leaves a batch to be sent, and tells whether there was room.
func (d *delivery) offer(send func(context.Context)) bool {
	select {
	case d.waiting <- send:
		return true
	default:
	}
	d.dropped++
	if now := time.Now(); now.Sub(d.said) >= slowInterval {
		d.log.Warn("Batches are dropped: metrics are in later sums, log records are lost",
			zap.Int("dropped", d.dropped), zap.Error(errSlowPipeline))
		d.dropped, d.said = 0, now
	}
	return false
}
