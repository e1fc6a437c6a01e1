package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"

	"spinetrace/exchange"
	"spinetrace/store"
)

// The ways in RETURN.
const (
	returnNone    = "none"
	returnA31     = "a31"
	returnForward = "forward"
)

// returns tells whether results come back by a way.
func (c *config) returns(way string) bool {
	if c.Return == nil {
		return way == returnA31 && c.PAS.Addr != ""
	}
	return slices.Contains(c.Return, way)
}

// hl7Name is a receiver: ROUTE, or an application and a facility.
var hl7Name = regexp.MustCompile(`^(ROUTE|[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}\^[A-Za-z0-9 _.-]{0,100})$`)

func (c *config) checkReturn(f *faults) {
	for _, p := range c.peers() {
		p.check(f, c.MLLPAddr)
	}
	for _, way := range c.Return {
		if !slices.Contains([]string{returnNone, returnA31, returnForward}, way) {
			f.add("RETURN", "has something that is not known; write a31, forward, both with a comma between, or none")
		}
	}
	switch {
	case c.returns(returnNone) && len(c.Return) > 1:
		f.add("RETURN", "has none beside something else; write none alone, or leave it out")
	case c.returns(returnA31) && c.PAS.Addr == "":
		f.add("RETURN", "has a31, but PAS_ADDR is not given; give it, or leave a31 out")
	case c.returns(returnForward) && c.Forward.Addr == "":
		f.add("RETURN", "has forward, but FORWARD_ADDR is not given; give it, or leave forward out")
	}
	c.checkUsed(f)
	f.checkText("A31_RECEIVER", c.A31Receiver, hl7Name, "is no receiver; write APPLICATION^FACILITY, or ROUTE")
}

// checkUsed reports destinations that nothing would be sent to.
func (c *config) checkUsed(f *faults) {
	if f.has("RETURN") {
		return
	}
	if c.PAS.Addr != "" && !c.returns(returnA31) && c.AckMode != "enhanced" {
		f.add("PAS_ADDR", "is given, but RETURN has no a31 and ACK_MODE is not enhanced, so nothing would be sent there; add a31, or leave PAS_ADDR out")
	}
	if c.Forward.Addr != "" && !c.returns(returnForward) {
		f.add("FORWARD_ADDR", "is given, but RETURN has no forward, so nothing would be sent there; add forward, or leave FORWARD_ADDR out")
	}
}

// checkResults reports a table of results that cannot be used, with all that is wrong with it.
func (c *config) checkResults(f *faults) {
	if _, err := c.results(); err != nil {
		f.addAll("RESULTS_FILE", strings.Split(err.Error(), "\n")) // errors that are joined are lines
		return
	}
	if c.ReferAllSuperseded && c.ResultsFile != "" && c.hasRow(superseded) {
		f.add("REFER_ALL_SUPERSEDED", "is true, and RESULTS_FILE has a row for superseded numbers; leave one of the two out")
	}
}

// superseded is the result that REFER_ALL_SUPERSEDED is about.
const superseded = "NHS number superseded; tell the patient"

// hasRow tells whether RESULTS_FILE, which could be read before, has a row for a result.
func (c *config) hasRow(result string) bool {
	text, _ := os.ReadFile(c.ResultsFile)
	rows, _ := csv.NewReader(bytes.NewReader(text)).ReadAll()
	return slices.ContainsFunc(rows, func(row []string) bool { return strings.TrimSpace(row[0]) == result })
}

// results returns the table of results: the default one, as RESULTS_FILE and
// REFER_ALL_SUPERSEDED change it. The error holds nothing of the file's name.
func (c *config) results() (exchange.Results, error) {
	results := exchange.DefaultResults()
	if c.ResultsFile != "" {
		text, err := os.ReadFile(c.ResultsFile)
		if err != nil {
			return exchange.Results{}, errors.New("names a file that cannot be read; write the path of one that this process may read")
		}
		if results, err = exchange.ParseResults(text); err != nil {
			what := strings.TrimPrefix(err.Error(), "exchange: results: ")
			return exchange.Results{}, errors.New(eachLine("names a file that is no table of results: ", what))
		}
	}
	if c.ReferAllSuperseded {
		results = results.ReferSuperseded()
	}
	return results, nil
}

// eachLine puts what stands before a text before each of its lines.
func eachLine(before, text string) string {
	return before + strings.ReplaceAll(text, "\n", "\n"+before)
}

// kinds returns the kinds of items that are told of.
func (c *config) kinds() ([]store.ItemKind, bool) {
	if c.NotifyKinds == nil {
		return store.ItemKinds(), true
	}
	var kinds []store.ItemKind
	for _, words := range c.NotifyKinds {
		kind, ok := store.ParseItemKind(strings.ToLower(words))
		if !ok {
			return nil, false
		}
		kinds = append(kinds, kind)
	}
	return kinds, true
}

// kindWords lists the words for the kinds of items.
func kindWords() string {
	var words []string
	for _, kind := range store.ItemKinds() {
		words = append(words, kind.String())
	}
	return strings.Join(words, ", ")
}
