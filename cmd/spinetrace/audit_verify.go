package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"spinetrace/store"
)

// verifying is what `audit verify` was asked for.
type verifying struct {
	chain  string       // "": all of them
	kept   []store.Head // what the chains were on earlier days
	bodies bool
	search bool
	json   bool

	progress io.Writer // nil: nobody waits
}

// say tells on long work how far it is.
func (v verifying) say(format string, args ...any) {
	if v.progress != nil {
		fmt.Fprintf(v.progress, format+"\n", args...)
	}
}

// parseKeptHead reads CHAIN:N:HASH, as `audit head` prints it.
func parseKeptHead(s string) (store.Head, error) {
	at := strings.LastIndex(s, ":")
	if at < 0 {
		return store.Head{}, errKeptHead
	}
	hash, err := hex.DecodeString(s[at+1:])
	if err != nil || len(hash) != len(store.Hash{}) {
		return store.Head{}, errKeptHead
	}
	p, err := parsePlace(s[:at])
	return store.Head{Chain: p.chain, Seq: p.seq, Hash: store.Hash(hash)}, err
}

var errKeptHead = errors.New("write CHAIN:N:HASH, as audit head printed it")

// readKeptHeads reads what `audit head` printed into a file, on one day or on several, for
// people or as JSON.
func readKeptHeads(file string) ([]store.Head, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var heads []store.Head
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		words := strings.Fields(keptIn(line))
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		h, err := parseKeptHead(words[0])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		heads = append(heads, h)
	}
	if len(heads) == 0 {
		return nil, errors.New("there is no head in it")
	}
	return heads, nil
}

// keptIn returns the head that a line of JSON holds, or a line that is none as it is.
func keptIn(line string) string {
	var object struct {
		Kept string `json:"kept"`
	}
	if json.Unmarshal([]byte(line), &object) == nil {
		return object.Kept
	}
	return line
}

// auditVerify walks the chains and says whether they hold.
func auditVerify(ctx context.Context, c console, args []string) error {
	var v verifying
	fs := newFlags("audit verify", "audit verify [flags]\n\nWalks every chain of the journal from its first event: no gap, every hash right, every\nhead that one chain has noted of another still there. The exit code is 1 if a chain\nbreaks. The messages and envelopes themselves are compared with --bodies only; those whose\nkey BODY_KEY lacks are counted, and the exit code is 1, too. That the end of a chain was\ncut off shows in the chains of other instances, and in a head that was kept outside the\ndatabase: --head and --kept compare it. How many events are newer than any of those is\nsaid as \"unanchored\". What messages are found by is compared\nwith --search only, which takes longer; what was changed is named by its event and column.")
	fs.StringVar(&v.chain, "chain", "", "walk the chain of this `name` only; what others have noted of it is not looked at")
	fs.Func("kept", "a head of an earlier day, `CHAIN:N:HASH`, that the chain must still have; may be repeated", func(text string) error {
		kept, err := parseKeptHead(text)
		v.kept = append(v.kept, kept)
		return err
	})
	fs.Func("head", "a `file` with what audit head printed on earlier days; may be repeated", func(file string) error {
		kept, err := readKeptHeads(file)
		v.kept = append(v.kept, kept...)
		return err
	})
	fs.BoolVar(&v.bodies, "bodies", false, "compare every body with its digest, too")
	fs.BoolVar(&v.search, "search", false, "compare what messages are found by with what the journal says of them, too")
	fs.BoolVar(&v.json, "json", false, "print one JSON object for every chain")
	progress := fs.Bool("progress", false, "say on standard error how far it is, even if that is no terminal")
	if err := parse(fs, c, args, 0); err != nil {
		return err
	}
	if *progress || isTerminal(c.Err) {
		v.progress = c.Err
	}
	return reading(ctx, c, func(db store.Store) error { return v.run(ctx, c.Out, db) })
}

// walked is the result of one chain.
type walked struct {
	Chain      string     `json:"chain"`
	Events     int64      `json:"events"`
	Bodies     *int64     `json:"bodies,omitempty"`         // nil: not looked at
	Dropped    int64      `json:"bodies_dropped,omitempty"` // by audit drop-bodies
	Locked     []locked   `json:"bodies_not_checked,omitempty"`
	Seq        int64      `json:"seq"`
	At         *time.Time `json:"at,omitempty"`
	Hash       string     `json:"hash"`
	Unanchored int64      `json:"unanchored,omitempty"` // events behind the newest head that is noted elsewhere
	Break      *broken    `json:"break,omitempty"`
	Wrong      []broken   `json:"bodies_wrong,omitempty"` // missing or changed, the first store.MostWrong

	anchored []store.Head // of other chains, as this one notes them
}

type broken struct {
	Seq  int64  `json:"seq"`
	What string `json:"what"`
}

// locked are bodies that could not be compared.
type locked struct {
	Key    int   `json:"key"`
	Bodies int64 `json:"bodies"`
	First  int64 `json:"first_seq"`
}

// run walks the chains, compares them with each other and with what was kept, and prints a line
// for each, before it looks for what takes as long again.
func (v verifying) run(ctx context.Context, w io.Writer, db store.Audit) error {
	results, err := v.walkAll(ctx, db)
	if err != nil {
		return err
	}
	for _, r := range results {
		if err := v.print(w, r); err != nil {
			return err
		}
	}
	strays, err := v.strays(ctx, db)
	if err == nil {
		err = v.printStrays(w, strays)
	}
	if err != nil {
		return err
	}
	found, err := v.seek(ctx, db)
	if err == nil {
		err = v.printCompared(w, found)
	}
	if err != nil {
		return err
	}
	err = complaint(results, strays, found)
	switch {
	case err != nil || v.json:
		return err
	case len(results) == 0:
		_, err = fmt.Fprintln(w, "the journal is empty")
		return err
	}
	_, err = fmt.Fprintln(w, v.verdict(results))
	return err
}

// strays looks for what no chain leads to, unless only one chain is wanted.
func (v verifying) strays(ctx context.Context, db store.Audit) (store.Strays, error) {
	if v.chain != "" {
		return store.Strays{}, nil
	}
	return db.Strays(ctx, v.bodies)
}

func (v verifying) printStrays(w io.Writer, s store.Strays) (err error) {
	switch {
	case s == store.Strays{}:
		return nil
	case v.json:
		return encodeJSON(w, map[string]any{"strays": s})
	}
	for _, kind := range []struct {
		n    int64
		what string
	}{
		{s.Events, "events BELONG TO NO CHAIN: forged, or the chain's name was taken away"},
		{s.Bodies, "bodies BELONG TO NO EVENT: forged, or the event was taken away"},
		{s.Exchanges, "exchanges CANNOT BE FOUND: they have events, and no row to search by"},
	} {
		if kind.n > 0 {
			_, err = fmt.Fprintf(w, "%d %s\n", kind.n, kind.what)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// complaint says how many chains are broken, what belongs to none, what messages are wrongly found by,
// and what was not compared for want of a key.
func complaint(results []walked, strays store.Strays, found *compared) error {
	breaks, spoiled, bodies, first, keys := 0, 0, int64(0), "", make(map[string]bool)
	for _, r := range results {
		if r.Break != nil {
			breaks++
		}
		spoiled += len(r.Wrong)
		for _, l := range r.Locked {
			bodies, first = bodies+l.Bodies, cmp.Or(first, place{r.Chain, l.First}.String())
			keys[strconv.Itoa(l.Key)] = true
		}
	}
	var wrong []string
	if breaks > 0 {
		wrong = append(wrong, count(breaks, "chain is", "chains are")+" broken")
	}
	if spoiled > 0 {
		wrong = append(wrong, "bodies of "+count(spoiled, "event are", "events are")+" missing or changed")
	}
	if strays != (store.Strays{}) {
		wrong = append(wrong, "the journal holds what no chain leads to")
	}
	if found != nil && found.Wrong > 0 {
		wrong = append(wrong, "messages are not found by what the journal says of them")
	}
	if bodies > 0 {
		wrong = append(wrong, fmt.Sprintf("%s not checked, the first at %s: add key %s to %sBODY_KEY, or leave --bodies out",
			count(int(bodies), "body was", "bodies were"), first, strings.Join(sortedKeys(keys), ", "), prefix))
	}
	if len(wrong) == 0 {
		return nil
	}
	return errors.New(strings.Join(wrong, "; "))
}

// walkAll returns a result for every chain that there is, or once was.
func (v verifying) walkAll(ctx context.Context, db store.Audit) ([]walked, error) {
	heads, err := v.heads(ctx, db)
	if err != nil {
		return nil, err
	}
	var results []walked
	for _, head := range heads {
		r, err := v.walk(ctx, db, head)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
	return v.compare(ctx, db, results)
}

// verdict says what was found good, and what was not looked at.
func (v verifying) verdict(results []walked) string {
	what, left := "nothing", ""
	if !v.bodies {
		what, left = "no event", "; bodies were not compared (--bodies)"
	}
	upTo := ""
	if slices.ContainsFunc(results, func(r walked) bool { return r.Unanchored > 0 }) {
		upTo = " up to the heads shown"
	}
	found := ""
	if v.search {
		found = "; messages are found by what it says"
	}
	return fmt.Sprintf("%s verified, %s is missing or changed%s%s%s", count(len(results), "chain", "chains"), what, upTo, found, left)
}

// heads returns the chains to walk, with those that are gone but were kept.
func (v verifying) heads(ctx context.Context, db store.Audit) ([]store.Head, error) {
	heads, err := db.Heads(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range v.kept {
		if !slices.ContainsFunc(heads, func(h store.Head) bool { return h.Chain == k.Chain }) {
			heads = append(heads, store.Head{Chain: k.Chain})
		}
	}
	if v.chain == "" {
		return heads, nil
	}
	heads = slices.DeleteFunc(heads, func(h store.Head) bool { return h.Chain != v.chain })
	if len(heads) == 0 {
		return nil, errNoChain
	}
	return heads, nil
}

// walk walks one chain. It must get at least as far as its head was when it began.
func (v verifying) walk(ctx context.Context, db store.Audit, head store.Head) (walked, error) {
	seen, err := store.Verify(ctx, db, head.Chain, v.bodies, func(w store.Walk) {
		v.say("%s: %d of %d events walked", printable(head.Chain), w.Events, head.Seq)
	})
	r := walked{
		Chain: head.Chain, Events: seen.Events, Dropped: seen.Dropped,
		Seq: seen.Head.Seq, Hash: seen.Head.Hash.String(), anchored: seen.Anchored,
	}
	if v.bodies {
		r.Bodies = &seen.Bodies
	}
	for _, l := range seen.Locked {
		r.Locked = append(r.Locked, locked(l))
	}
	if seen.Events > 0 {
		r.At = &seen.Head.At
	}
	for _, b := range seen.Wrong {
		r.Wrong = append(r.Wrong, broken{b.Seq, b.What})
	}
	var b *store.Break
	switch {
	case errors.As(err, &b) && len(seen.Wrong) > 0 && *b == seen.Wrong[0]:
		err = nil // the chain holds
	case errors.As(err, &b):
		r.Break, err = &broken{b.Seq, b.What}, nil
	case err == nil && seen.Head.Seq < head.Seq:
		r.Break = &broken{seen.Head.Seq + 1, fmt.Sprintf("missing, although the head was %d", head.Seq)}
	}
	return r, err
}

// compare looks for the heads that were kept, or noted by other chains, in the chains that hold
// in themselves.
func (v verifying) compare(ctx context.Context, db store.Audit, results []walked) ([]walked, error) {
	noted := slices.Clone(v.kept)
	for _, r := range results {
		noted = append(noted, r.anchored...)
	}
	if v.chain != "" {
		noted = slices.DeleteFunc(noted, func(h store.Head) bool { return h.Chain != v.chain })
	}
	breaks, err := store.CheckHeads(ctx, db, noted)
	if err != nil {
		return nil, err
	}
	for _, b := range breaks {
		results = addBreak(results, b)
	}
	for i := range results {
		results[i].Unanchored = results[i].behind(noted)
	}
	return results, nil
}

// addBreak notes what a comparison found, of which the first place counts. A chain of which
// nothing is left gets a result of its own.
func addBreak(results []walked, b store.Break) []walked {
	i := slices.IndexFunc(results, func(r walked) bool { return r.Chain == b.Chain })
	if i < 0 {
		i, results = len(results), append(results, walked{Chain: b.Chain, Hash: store.Hash{}.String()})
	}
	r := &results[i]
	found := &broken{b.Seq, b.What}
	if b.Seq > r.Seq { // what comes first behind the end is what is missing
		found = &broken{r.Seq + 1, fmt.Sprintf("missing: the chain was longer once, up to %d at least", b.Seq)}
	}
	if r.Break == nil || found.Seq < r.Break.Seq {
		r.Break = found
	}
	return results
}

// behind counts the events that are newer than every noted head.
func (r walked) behind(noted []store.Head) int64 {
	last := int64(0)
	for _, h := range noted {
		if h.Chain == r.Chain {
			last = max(last, h.Seq)
		}
	}
	return max(0, r.Seq-last)
}

func (v verifying) print(w io.Writer, r walked) error {
	if v.json {
		return encodeJSON(w, r)
	}
	line := fmt.Sprintf("%-10s %6d events", printable(r.Chain), r.Events)
	if r.Bodies != nil {
		line += fmt.Sprintf(", %6d bodies", *r.Bodies)
	}
	if r.Dropped > 0 {
		line += fmt.Sprintf(" (%d dropped)", r.Dropped)
	}
	for _, l := range r.Locked {
		line += fmt.Sprintf(" (%d not checked, key %d, from %s on)", l.Bodies, l.Key, place{r.Chain, l.First})
	}
	switch {
	case r.Break != nil:
		line += fmt.Sprintf(", BROKEN at %s: %s", place{r.Chain, r.Break.Seq}, printable(r.Break.What))
	case r.Events > 0:
		line += fmt.Sprintf(", up to %s\n%11s%s", place{r.Chain, r.Seq}, "", r.Hash) + r.unanchored()
	}
	for _, b := range r.Wrong {
		line += fmt.Sprintf("\n%11sWRONG at %s: %s", "", place{r.Chain, b.Seq}, b.What)
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

// unanchored is a line about events that nothing would miss if they were cut off.
func (r walked) unanchored() string {
	switch r.Unanchored {
	case 0:
		return ""
	case r.Events:
		return fmt.Sprintf("\n%11sunanchored: all", "")
	}
	return fmt.Sprintf("\n%11sunanchored: the last %d", "", r.Unanchored)
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
	fs := newFlags("audit head", "audit head [flags]\n\nPrints the newest event of every chain as CHAIN:N:HASH, and its time. Kept outside the\ndatabase, they prove later that nothing before them was changed or cut off: audit verify\ntakes the whole output in a file as --head, and one CHAIN:N:HASH as --kept.")
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
			_, err = fmt.Fprintf(w, "%s  %s\n", printable(toKeep(h)), h.At.Format(timeText))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// toKeep writes a head as --kept reads it.
func toKeep(h store.Head) string { return fmt.Sprintf("%s:%d:%s", h.Chain, h.Seq, h.Hash) }
