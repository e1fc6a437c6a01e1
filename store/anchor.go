package store

import (
	"context"
	"encoding/hex"
	"fmt"
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

// anchored notes the heads that e names, or says what is wrong with it.
func (w *Walk) anchored(e Event) string {
	facts, err := e.Facts()
	if err != nil {
		return "document cannot be read"
	}
	for chain, text := range facts.Heads {
		h, ok := parseHead(chain, text)
		if !ok {
			return "a head that it names cannot be read"
		}
		w.note(h)
	}
	return ""
}

// note keeps the newest head of each chain, by name.
func (w *Walk) note(h Head) {
	i, found := slices.BinarySearchFunc(w.Anchored, h.Chain, func(a Head, chain string) int { return strings.Compare(a.Chain, chain) })
	switch {
	case !found:
		w.Anchored = slices.Insert(slices.Clip(w.Anchored), i, h)
	case h.Seq >= w.Anchored[i].Seq:
		w.Anchored = slices.Clone(w.Anchored) // who was told of the walk so far may keep it
		w.Anchored[i] = h
	}
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

// CheckHeads says which of the heads, kept elsewhere or named by other chains, are not events of
// their chains any more. Errors mean that the journal could not be read.
func CheckHeads(ctx context.Context, a Audit, heads []Head) ([]Break, error) {
	var breaks []Break
	for _, h := range heads {
		what, err := h.lost(ctx, a)
		if err != nil {
			return breaks, fmt.Errorf("store: check heads: %s: %w", h.Chain, err)
		}
		if what != "" {
			breaks = append(breaks, Break{h.Chain, h.Seq, what})
		}
	}
	return breaks, nil
}

// lost says what is wrong with the event that h is the position of, or "".
func (h Head) lost(ctx context.Context, a Audit) (string, error) {
	for e, err := range a.Events(ctx, Query{Chain: h.Chain, From: h.Seq}) {
		switch {
		case err != nil:
			return "", err
		case e.Seq != h.Seq:
			return "missing, although it was the head once", nil
		case e.Hash != h.Hash:
			return "hash is not the one it had as the head", nil
		}
		return "", nil
	}
	return "missing: the chain was longer once", nil
}
