package exchange

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"spinetrace/hl7v2"
	"spinetrace/store"
)

// maxBatch is how many messages one frame may bring (spec/hl7v2.md 7).
const maxBatch = 1000

// isBatch tells a frame that may hold several messages, without reading it.
func isBatch(frame []byte) bool {
	start := bytes.TrimLeft(frame, "\xEF\xBB\xBF\r\n")
	return bytes.HasPrefix(start, []byte("BHS")) || bytes.HasPrefix(start, []byte("FHS")) ||
		bytes.Contains(frame, []byte("\rMSH")) || bytes.Contains(frame, []byte("\nMSH"))
}

// BatchAnswer is what a batch is answered with.
type BatchAnswer uint8

// The answers. Messages without a batch header are answered by one, whatever the choice.
const (
	BatchEach   BatchAnswer = iota // a batch of the answers to its messages
	BatchSingle                    // one answer: to the first message, with the worst code
)

// ParseBatchAnswer reads "each" or "single".
func ParseBatchAnswer(s string) (BatchAnswer, error) {
	switch s {
	case "each":
		return BatchEach, nil
	case "single":
		return BatchSingle, nil
	}
	return 0, errors.New("exchange: batch answer is not one of each, single")
}

// answerBatch takes a batch apart and answers it in one frame. Each message is an exchange of
// its own, in the order of the batch, and is traced after the answer. If one cannot be
// written down there is no answer at all, or StoreDown has that one and those behind it
// refused: sent again, those that were kept are found, and answered as they would have been.
func (h *Handler) answerBatch(ctx context.Context, peer netip.AddrPort, state *tls.ConnectionState, frame []byte) ([]byte, error) {
	h.defaults()
	batch := hl7v2.Split(frame)
	switch {
	case batch.Header == nil && len(batch.Messages) <= 1:
		return h.handle(ctx, peer, state, frame, false)
	case max(len(batch.Messages), batch.Batches()) > maxBatch:
		return h.refuseBatch(ctx, peer, state, frame, batch)
	}
	answers, err := h.answerEach(ctx, peer, state, batch)
	if err != nil {
		err = fmt.Errorf("exchange: batch: %w", err)
		if h.StoreDown == StoreDownClose || len(slices.Concat(answers...)) == 0 {
			return nil, err // a batch without answers would look as if all were well
		}
	}
	if batch.Header == nil {
		h.Log.WarnContext(ctx, "several messages in a frame without batch header", "peer", peer.String(), "messages", len(batch.Messages))
	}
	return h.gather(batch, answers), err
}

// answerEach answers the messages of a batch in order. The error is that of the first that
// could not be written down; it and those behind it are refused.
func (h *Handler) answerEach(ctx context.Context, peer netip.AddrPort, state *tls.ConnectionState, batch hl7v2.Batch) ([][]byte, error) {
	answers := make([][]byte, 0, len(batch.Messages))
	err := h.keepRest(ctx, peer, state, batch)
	for _, message := range batch.Messages {
		var answer []byte
		if err == nil {
			answer, err = h.answerInBatch(ctx, peer, state, message)
		}
		switch {
		case err != nil && h.StoreDown == StoreDownClose:
			return nil, err
		case err != nil:
			answer = h.answerUndone(message)
		}
		answers = append(answers, answer)
	}
	return answers, err
}

// answerUndone refuses a message of a batch that cannot be written down.
func (h *Handler) answerUndone(message []byte) []byte {
	m, err := h.Parser.Parse(message)
	if err != nil {
		m = hl7v2.Head(message)
	}
	answer, _ := h.notNow(m)
	return answer
}

// gather makes one answer of those to the messages of a frame.
func (h *Handler) gather(batch hl7v2.Batch, answers [][]byte) []byte {
	if batch.Header == nil || h.BatchAnswer == BatchSingle {
		reply := worst(answers)
		if reply != nil || batch.Header == nil {
			return reply
		}
		// No message of the batch is answered: that is told in a batch without answers.
	}
	if answersAnother(batch) {
		return nil
	}
	return batch.Reply(func() hl7v2.Header { return h.header("") }, answers)
}

// answersAnother tells a batch that is itself the answer to one, by its reference and by what
// is in it: answering it could start a loop.
func answersAnother(batch hl7v2.Batch) bool {
	return batch.Header.Raw(pathReference) != "" && !slices.ContainsFunc(batch.Messages, func(message []byte) bool {
		return !looksLikeAnswer(hl7v2.Head(message))
	})
}

// keepRest writes down what is in no message of a batch that is not as it should be. It is
// not left out however often that happens: the batch is answered, and what was answered is
// on disk.
func (h *Handler) keepRest(ctx context.Context, peer netip.AddrPort, state *tls.ConnectionState, batch hl7v2.Batch) error {
	var reason string
	for _, fault := range []struct {
		found bool
		text  string
	}{
		{batch.BadHeader, "batch header with unusable encoding characters"},
		{batch.Mismatch, "batch with another count than its trailer says, or without one"},
		{batch.Stray, "batch with lines that are in no message"},
		{len(batch.Messages) == 0, "batch without messages"},
	} {
		if fault.found {
			reason = join(reason, fault.text)
		}
	}
	if reason == "" {
		return nil
	}
	if batch.Header != nil {
		h.Log.WarnContext(ctx, "batch at fault", "peer", peer.String(), "messages", len(batch.Messages), "reason", reason)
	}
	id := cmp.Or(batch.Header.Raw(pathBatchID), batch.Header.Raw(pathFileID))
	return h.recordBroken(ctx, peer, state, batch.Rest, store.Facts{ControlID: id, Reason: reason})
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
	x.batched = true
	x.plan = h.refuse(m, inBatch)
	x.plan.query = false
	x.name(m)
	return x.answer()
}

// refuseBatch answers a batch of too many messages, none of which was looked at, as if it were
// the first of them.
func (h *Handler) refuseBatch(ctx context.Context, peer netip.AddrPort, state *tls.ConnectionState, frame []byte, batch hl7v2.Batch) (reply []byte, err error) {
	x := h.begin(ctx, peer, state, frame)
	defer x.end()
	defer x.rescue(&reply, &err)
	x.plan = plan{name: "oversize", unclaimed: true}
	text := fmt.Sprintf("%d batches, at most %d are taken", batch.Batches(), maxBatch)
	if n := len(batch.Messages); n > 0 {
		x.m = hl7v2.Head(batch.Messages[0])
		text = fmt.Sprintf("Batch of %d messages, at most %d are taken", n, maxBatch)
	}
	x.name(x.m)
	return x.close(h.nackText(x.m, tooLarge, text))
}

// worst is the one answer to several messages: to the first that is answered at all, as the
// one that fared worst.
func worst(answers [][]byte) []byte {
	rank := map[string]int{"AA": 1, "CA": 1, "AE": 2, "CE": 2, "AR": 3, "CR": 3}
	var first, chosen *hl7v2.Message
	highest := 0
	for _, answer := range answers {
		m, err := hl7v2.Parse(answer)
		if err != nil {
			continue // an answer that came in is not answered
		}
		if first == nil {
			first = m
		}
		if r := rank[m.Get(pathAckCode)]; r > highest {
			chosen, highest = m, r
		}
	}
	if chosen == nil {
		return nil
	}
	if chosen != first {
		readdress(chosen, first)
	}
	return chosen.Bytes()
}

// readdress makes an answer one to the message that first answers.
func readdress(answer, first *hl7v2.Message) {
	if answer.Delimiters() == first.Delimiters() && answer.SetRaw(pathAckControlID, first.Raw(pathAckControlID)) == nil {
		return
	}
	// Should it fail, the answer goes out under its own control id: a refusal all the same.
	_ = answer.Set(pathAckControlID, first.Get(pathAckControlID))
}

var (
	pathBatchID      = hl7v2.MustPath("BHS-11")
	pathReference    = hl7v2.MustPath("BHS-12") // of the batch that this one answers
	pathFileID       = hl7v2.MustPath("FHS-11")
	pathAckControlID = hl7v2.MustPath("MSA-2")
)
