package exchange

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"

	"spinetrace/hl7v2"
)

// maxBatch is how many messages one frame may bring (spec/hl7v2.md 7).
const maxBatch = 1000

// isBatch tells a frame that may hold several messages, without reading it.
func isBatch(frame []byte) bool {
	start := bytes.TrimLeft(frame, "\xEF\xBB\xBF\r\n")
	return bytes.HasPrefix(start, []byte("BHS")) || bytes.HasPrefix(start, []byte("FHS")) ||
		bytes.Contains(frame, []byte("\rMSH")) || bytes.Contains(frame, []byte("\nMSH"))
}

// answerBatch takes a batch apart and answers it in one frame. Each message is an exchange of
// its own, in the order of the batch, and is traced after the answer. If one cannot be
// written down there is no answer at all: sent again, those that were kept are found, and
// answered as they would have been.
func (h *Handler) answerBatch(ctx context.Context, peer netip.AddrPort, state *tls.ConnectionState, frame []byte) ([]byte, error) {
	h.defaults()
	batch := hl7v2.Split(frame)
	switch {
	case batch.Header == nil && len(batch.Messages) <= 1:
		return h.handle(ctx, peer, state, frame, false)
	case len(batch.Messages) > maxBatch:
		return h.refuseBatch(ctx, peer, state, frame, batch.Messages)
	}
	if batch.Mismatch && batch.Header != nil {
		h.Log.WarnContext(ctx, "batch with another count than its trailer says, or without one", "peer", peer, "messages", len(batch.Messages))
	}
	if batch.Mismatch || len(batch.Messages) == 0 {
		h.HandleBroken(ctx, peer, state, frame[:min(len(frame), 4<<10)], int64(len(frame)), "batch with bytes that are no message, or another count than its trailer says")
	}
	answers := make([][]byte, 0, len(batch.Messages))
	for _, message := range batch.Messages {
		answer, err := h.answerInBatch(ctx, peer, state, message)
		if err != nil {
			return nil, fmt.Errorf("exchange: batch: %w", err)
		}
		answers = append(answers, answer)
	}
	if batch.Header == nil {
		h.Log.WarnContext(ctx, "several messages in a frame without batch header", "peer", peer, "messages", len(batch.Messages))
		return worst(batch.Messages, answers), nil
	}
	return batch.Reply(func() hl7v2.Header { return h.header("") }, answers), nil
}

// answerInBatch answers one message of a batch. A query has no place there.
func (h *Handler) answerInBatch(ctx context.Context, peer netip.AddrPort, state *tls.ConnectionState, message []byte) (reply []byte, err error) {
	m := hl7v2.Head(message)
	if !isQuery(m) {
		return h.handle(ctx, peer, state, message, true)
	}
	x := h.begin(ctx, peer, state, message)
	defer x.end()
	defer x.rescue(&reply, &err)
	x.plan = h.refuse(m, inBatch)
	x.plan.query = false
	x.name(m)
	return x.answer()
}

// refuseBatch answers a batch of too many messages, none of which was looked at.
func (h *Handler) refuseBatch(ctx context.Context, peer netip.AddrPort, state *tls.ConnectionState, frame []byte, messages [][]byte) (reply []byte, err error) {
	x := h.begin(ctx, peer, state, frame)
	defer x.end()
	defer x.rescue(&reply, &err)
	m := hl7v2.Head(messages[0])
	x.plan = plan{name: "oversize", unclaimed: true}
	x.name(m)
	return x.close(h.nackText(m, tooLarge, fmt.Sprintf("Batch of %d messages, at most %d are taken", len(messages), maxBatch)))
}

// worst is the one answer to messages without a batch header: to the first that is answered
// at all, as the one that fared worst.
func worst(messages, answers [][]byte) []byte {
	rank := map[string]int{"AA": 1, "CA": 1, "AE": 2, "CE": 2, "AR": 3, "CR": 3}
	var chosen *hl7v2.Message
	first, highest := "", 0
	for i, answer := range answers {
		m, err := hl7v2.Parse(answer)
		if err != nil {
			continue // an answer that came in is not answered
		}
		if chosen == nil {
			first = hl7v2.Head(messages[i]).Raw(pathControlID)
		}
		if r := rank[m.Get(pathAckCode)]; r > highest {
			chosen, highest = m, r
		}
	}
	if chosen == nil || chosen.SetRaw(pathAckControlID, first) != nil {
		return nil
	}
	return chosen.Bytes()
}

var pathAckControlID = hl7v2.MustPath("MSA-2")
