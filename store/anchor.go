package store

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// AnchorEntry is the event in which the chain own names the heads of all others: should the end of
// one of them be cut off, that shows here.
func AnchorEntry(heads []Head, own string) Entry {
	named := make(map[string]string)
	for _, h := range heads {
		if h.Chain != own && h.Seq > 0 {
			named[h.Chain] = fmt.Sprint(h.Seq, " ", h.Hash)
		}
	}
	return Entry{Kind: Anchored, Facts: Facts{Heads: named}}
}

// anchored notes the heads that e names, but for those that have not moved since latest, or says what
// is wrong with it. All are noted: a chain that was cut off and went on has its newest one again.
func (w *Walk) anchored(e Event, latest map[string]Head) string {
	facts, err := e.Facts()
	if err != nil {
		return "document cannot be read"
	}
	for _, chain := range slices.Sorted(maps.Keys(facts.Heads)) {
		h, ok := parseHead(chain, facts.Heads[chain])
		if !ok {
			return "a head that it names cannot be read"
		}
		if latest[chain] != h {
			latest[chain] = h
			w.Anchored = append(w.Anchored, h)
		}
	}
	return ""
}

func parseHead(chain, text string) (h Head, ok bool) {
	seq, hash, _ := strings.Cut(text, " ")
	n, err := strconv.ParseInt(seq, 10, 64)
	sum, err2 := hex.DecodeString(hash)
	if err != nil || err2 != nil || n <= 0 || len(sum) != len(h.Hash) {
		return h, false
	}
	h = Head{Chain: chain, Seq: n}
	copy(h.Hash[:], sum)
	return h, true
}

// HeadOf returns the newest event's position in one chain: the zero Seq if there is none.
func HeadOf(ctx context.Context, a Audit, chain string) (Head, error) {
	heads, err := a.Heads(ctx)
	if err != nil {
		return Head{}, err
	}
	for _, h := range heads {
		if h.Chain == chain {
			return h, nil
		}
	}
	return Head{Chain: chain}, nil
}

// CheckHeads says which of the heads, kept elsewhere or named by other chains, are not events of
// their chains any more. It reads each chain from the first of its heads on. Errors mean that the
// journal could not be read.
func CheckHeads(ctx context.Context, a Audit, heads []Head) ([]Break, error) {
	byChain := make(map[string][]Head)
	for _, h := range heads {
		byChain[h.Chain] = append(byChain[h.Chain], h)
	}
	var breaks []Break
	for _, chain := range slices.Sorted(maps.Keys(byChain)) {
		found, err := lost(ctx, a, byChain[chain])
		if err != nil {
			return breaks, fmt.Errorf("store: check heads: %s: %w", chain, err)
		}
		breaks = append(breaks, found...)
	}
	return breaks, nil
}

// lost says which of the heads of one chain are not there.
func lost(ctx context.Context, a Audit, heads []Head) (breaks []Break, err error) {
	slices.SortStableFunc(heads, func(x, y Head) int { return cmp.Compare(x.Seq, y.Seq) })
	left := heads
	for e, err := range a.Events(ctx, Query{Chain: heads[0].Chain, From: heads[0].Seq}) {
		if err != nil {
			return nil, err
		}
		for ; len(left) > 0 && left[0].Seq <= e.Seq; left = left[1:] {
			switch h := left[0]; {
			case h.Seq < e.Seq:
				breaks = append(breaks, Break{h.Chain, h.Seq, "missing, although it was the head once"})
			case h.Hash != e.Hash:
				breaks = append(breaks, Break{h.Chain, h.Seq, "hash is not the one it had as the head"})
			}
		}
		if len(left) == 0 {
			return breaks, nil
		}
	}
	for _, h := range left {
		breaks = append(breaks, Break{h.Chain, h.Seq, "missing: the chain was longer once"})
	}
	return breaks, nil
}
