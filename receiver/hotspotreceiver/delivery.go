package hotspotreceiver

import (
	"context"
	"errors"

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
	dropped int         // in a row
}

func newDelivery(room int, log *zap.Logger) *delivery {
	return &delivery{waiting: make(chan func(context.Context), room), log: log}
}

func (d *delivery) run(ctx context.Context) {
	for send := range d.waiting {
		send(ctx)
	}
}

// offer leaves a batch to be sent, and tells whether there was room. It logs the
// first of a row that found none, and the end of it.
func (d *delivery) offer(send func(context.Context)) bool {
	select {
	case d.waiting <- send:
		if d.dropped > 0 {
			d.log.Info("The pipeline takes batches again", zap.Int("dropped", d.dropped))
		}
		d.dropped = 0
		return true
	default:
		if d.dropped == 0 {
			d.log.Warn("A slow pipeline: batches are dropped; metrics are in later sums, log records are lost", zap.Error(errSlowPipeline))
		}
		d.dropped++
		return false
	}
}
