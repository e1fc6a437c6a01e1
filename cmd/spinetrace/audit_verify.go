package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"spinetrace/store"
)

// verifying is what `audit verify` was asked for.
type verifying struct {
	chain  string     // "": all of them
	kept   []keptHead // what the chains were on earlier days
	bodies bool
	json   bool
}

// keptHead is a head that was kept outside the database.
type keptHead struct {
	place
	hash string
}

// parseKeptHead reads CHAIN:N:HASH, as `audit head` prints it.
func parseKeptHead(s string) (keptHead, error) {
	at := strings.LastIndex(s, ":")
	if at < 0 || len(s)-at-1 != hex.EncodedLen(len(store.Hash{})) {
		return keptHead{}, errors.New("write CHAIN:N:HASH, as audit head printed it")
	}
	p, err := parsePlace(s[:at])
	return keptHead{p, strings.ToLower(s[at+1:])}, err
}

// auditVerify walks the chains and says whether they hold.
func auditVerify(ctx context.Context, c console, args []string) error {
	var v verifying
	fs := newFlags("audit verify", "audit verify [flags]\n\nWalks every chain of the journal from its first event: no gap, every hash right. The\nexit code is 1 if a chain breaks. The messages and envelopes themselves are compared with\n--bodies only. That the end of a chain was cut off shows only in a head\nthat was kept outside the database: --kept compares it.")
	fs.StringVar(&v.chain, "chain", "", "walk the chain of this `name` only")
	fs.Func("kept", "a head of an earlier day, `CHAIN:N:HASH`, that the chain must still have; may be repeated", func(text string) error {
		kept, err := parseKeptHead(text)
		v.kept = append(v.kept, kept)
		return err
	})
	fs.BoolVar(&v.bodies, "bodies", false, "compare every body with its digest, too")
	fs.BoolVar(&v.json, "json", false, "print one JSON object for every chain")
	if err := parse(fs, c, args, 0); err != nil {
		return err
	}
	return reading(ctx, c, func(db store.Store) error { return v.run(ctx, c.Out, db) })
}

// walked is the result of one chain.
type walked struct {
	Chain  string     `json:"chain"`
	Events int64      `json:"events"`
	Bodies *int64     `json:"bodies,omitempty"` // nil: not looked at
	Seq    int64      `json:"seq"`
	At     *time.Time `json:"at,omitempty"`
	Hash   string     `json:"hash"`
	Break  *broken    `json:"break,omitempty"`
}

type broken struct {
	Seq  int64  `json:"seq"`
	What string `json:"what"`
}

// run walks the chains and prints a line for each as it ends.
func (v verifying) run(ctx context.Context, w io.Writer, db store.Audit) error {
	heads, err := v.heads(ctx, db)
	if err != nil {
		return err
	}
	breaks := 0
	for _, head := range heads {
		result, err := v.walk(ctx, db, head)
		if err != nil {
			return err
		}
		if result.Break != nil {
			breaks++
		}
		if err := v.print(w, result); err != nil {
			return err
		}
	}
	if breaks > 0 {
		return fmt.Errorf("%s broken", count(breaks, "chain is", "chains are"))
	}
	if v.json {
		return nil
	}
	if len(heads) == 0 {
		_, err = fmt.Fprintln(w, "the journal is empty")
		return err
	}
	_, err = fmt.Fprintln(w, v.verdict(len(heads)))
	return err
}

// verdict says what was found good, and what was not looked at.
func (v verifying) verdict(chains int) string {
	what, left := "nothing", ""
	if !v.bodies {
		what, left = "no event", "; bodies were not compared (--bodies)"
	}
	upTo := ""
	if len(v.kept) == 0 {
		upTo = " up to the heads shown"
	}
	return fmt.Sprintf("%s verified, %s is missing or changed%s%s", count(chains, "chain", "chains"), what, upTo, left)
}

// heads returns the chains to walk, with those that are gone but were kept.
func (v verifying) heads(ctx context.Context, db store.Audit) ([]store.Head, error) {
	heads, err := db.Heads(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range v.kept {
		if !slices.ContainsFunc(heads, func(h store.Head) bool { return h.Chain == k.chain }) {
			heads = append(heads, store.Head{Chain: k.chain})
		}
	}
	if v.chain == "" {
		return heads, nil
	}
	heads = slices.DeleteFunc(heads, func(h store.Head) bool { return h.Chain != v.chain })
	if len(heads) == 0 {
		return nil, errors.New("the journal has no chain of that name")
	}
	return heads, nil
}

// walk walks one chain. It must get at least as far as its head was when it began.
func (v verifying) walk(ctx context.Context, db store.Audit, head store.Head) (walked, error) {
	seen, err := store.Verify(ctx, db, head.Chain, v.bodies, nil)
	r := walked{Chain: head.Chain, Events: seen.Events, Seq: seen.Head.Seq, Hash: seen.Head.Hash.String()}
	if v.bodies {
		r.Bodies = &seen.Bodies
	}
	if seen.Events > 0 {
		r.At = &seen.Head.At
	}
	var b *store.Break
	switch {
	case errors.As(err, &b):
		r.Break, err = &broken{b.Seq, b.What}, nil
	case err != nil:
	case seen.Head.Seq < head.Seq:
		r.Break = &broken{seen.Head.Seq + 1, fmt.Sprintf("missing, although the head was %d", head.Seq)}
	default:
		r.Break, err = v.compare(ctx, db, head.Chain)
	}
	return r, err
}

// compare looks for the kept heads of a chain that holds in itself.
func (v verifying) compare(ctx context.Context, db store.Audit, chain string) (*broken, error) {
	for _, k := range v.kept {
		if k.chain != chain {
			continue
		}
		found, err := collect(ctx, db, store.Query{Chain: chain, From: k.seq}, 1)
		switch {
		case err != nil:
			return nil, err
		case len(found) == 0:
			return &broken{k.seq, "missing: the chain was longer when its head was kept"}, nil
		case found[0].Hash.String() != k.hash:
			return &broken{k.seq, "hash is not the one that was kept"}, nil
		}
	}
	return nil, nil
}

func (v verifying) print(w io.Writer, r walked) error {
	if v.json {
		return encodeJSON(w, r)
	}
	line := fmt.Sprintf("%-10s %6d events", r.Chain, r.Events)
	if r.Bodies != nil {
		line += fmt.Sprintf(", %6d bodies", *r.Bodies)
	}
	switch {
	case r.Break != nil:
		line += fmt.Sprintf(", BROKEN at %s: %s", place{r.Chain, r.Break.Seq}, r.Break.What)
	case r.Events > 0:
		line += fmt.Sprintf(", up to %s\n%11s%s", place{r.Chain, r.Seq}, "", r.Hash)
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

// count writes "1 chain" or "2 chains".
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// auditHead prints how far the chains have got.
func auditHead(ctx context.Context, c console, args []string) error {
	fs := newFlags("audit head", "audit head [flags]\n\nPrints the newest event of every chain as CHAIN:N:HASH, and its time. Kept outside the\ndatabase, they prove later that nothing before them was changed or cut off: audit verify\ntakes them as --kept.")
	asJSON := fs.Bool("json", false, "print one JSON object for every chain")
	if err := parse(fs, c, args, 0); err != nil {
		return err
	}
	return reading(ctx, c, func(db store.Store) error { return printHeads(ctx, c.Out, db, *asJSON) })
}

func printHeads(ctx context.Context, w io.Writer, db store.Audit, asJSON bool) error {
	heads, err := db.Heads(ctx)
	if err != nil {
		return err
	}
	for _, h := range heads {
		switch {
		case h.Seq == 0:
			continue // it has no newest event
		case asJSON:
			err = encodeJSON(w, map[string]any{
				"chain": h.Chain, "seq": h.Seq, "hash": h.Hash.String(), "at": h.At, "kept": toKeep(h),
			})
		default:
			_, err = fmt.Fprintf(w, "%s  %s\n", toKeep(h), h.At.Format(timeText))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// toKeep writes a head as --kept reads it.
func toKeep(h store.Head) string { return fmt.Sprintf("%s:%d:%s", h.Chain, h.Seq, h.Hash) }
