package main

import (
	"io"

	"spinetrace/store"
)

// factLine is one fact of a story.
type factLine struct{ seq, at, event, fact, value string }

var factColumns = []string{"seq", "at", "event", "fact", "value"}

func (r factLine) values(bool) []string { return []string{r.seq, r.at, r.event, r.fact, r.value} }

// givenEvent is the event of the lines that say what was answered, to whom.
const givenEvent = "given"

// storyCSV writes the facts of a story by the names that they have in the journal, and behind an event
// that gave an answer what was given.
func storyCSV(w io.Writer, cell func(string) string, told []toldEvent) error {
	var answers listener
	var lines []factLine
	for _, e := range told {
		lines = append(lines, factLines(e)...)
		if answer := answers.hear(e); answer != nil {
			lines = append(lines, answer.lines()...)
		}
	}
	return page[factLine]{list: list[factLine]{columns: factColumns, rows: lines}}.csv(w, cell)
}

// hitPage are the messages to choose from, newest first, for programs.
func hitPage(hits []store.Exchange) page[foundRow] {
	p := page[foundRow]{list: list[foundRow]{columns: foundColumns}}
	for _, x := range hits {
		p.rows = append(p.rows, rowOfExchange(x))
	}
	if len(hits) == maxHits {
		p.more = "there may be more: audit find --control-id lists all"
	}
	return p
}

// placeColumns are the first of the exportColumns, which every line of an event repeats.
const placeColumns = 4

// factLines are the facts of an event that are not empty.
func factLines(e toldEvent) []factLine {
	r := exportRow{Event: e.Event, facts: e.facts}
	r.digests, _ = e.Digests() // none, if the document is damaged: that is for verify to tell
	var lines []factLine
	add := func(fact, value string) {
		lines = append(lines, factLine{place{e.Chain, e.Seq}.String(), e.Stamp(), e.Kind.String(), fact, value})
	}
	for _, what := range e.wrong {
		add("does_not_hold", what)
	}
	for _, c := range exportColumns[placeColumns:] {
		if value := c.value(r); value != "" {
			add(c.name, value)
		}
	}
	return lines
}

// lines are what was answered, to whom, in the words of the screen.
func (a givenAnswer) lines() []factLine {
	var lines []factLine
	for _, row := range a.rows(false) {
		if row.value != "" {
			lines = append(lines, factLine{place{a.event.Chain, a.event.Seq}.String(), a.event.Stamp(), givenEvent, row.name, row.value})
		}
	}
	return lines
}
