package exchange

import (
	"bytes"
	"context"
	"strconv"
	"testing"

	"spinetrace/pds"
	"spinetrace/store"
)

// durable is a Journal on which everything is durable at once, so that what remains is the
// handler's own work.
type durable struct{}

func (durable) Commit(context.Context, store.Commit) (store.Receipt, error) {
	return store.Receipt{}, nil
}

func (durable) Answer(context.Context, store.ID) ([]byte, bool, error) { return nil, false, nil }

// BenchmarkHandleMLLP is one ADT from its bytes to its answer, without network, disk or back
// end: an event that is not traced, and one that is verified.
func BenchmarkHandleMLLP(b *testing.B) {
	for name, message := range map[string]string{"untraced": adt("A03", primrose), "traced": adt("A28", primrose)} {
		b.Run(name, func(b *testing.B) {
			h := &Handler{Journal: durable{}, Application: "NHSTRACE", ODS: "RXX"}
			h.Tracer = pds.TracerFunc(func(ctx context.Context, req pds.Request) (pds.Result, error) {
				if err := req.Recorder.Asking(ctx, pds.Call{}); err != nil {
					return pds.Result{}, err
				}
				req.Recorder.Answered(pds.Answer{})
				return pds.Result{Outcome: pds.Matched, NHSNumber: primroseNumber}, nil
			})
			frame := wire(message)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				f := bytes.Replace(frame, []byte("PAS0000451"), strconv.AppendInt(nil, int64(i), 10), 1)
				if _, err := h.HandleMLLP(context.Background(), peer, nil, f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
