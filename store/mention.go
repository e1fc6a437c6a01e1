package store

import (
	"slices"
	"strings"
)

// What a mention is of: its text begins so, unless it is the id of a call.
const (
	ofNumber  = "nhs:"
	ofLocalID = "id:"
	ofCall    = "call:" // of an id that would begin like one of these
)

// MentionOfCall returns how stores keep the id of a call, of its answer or of a letter
// ([Search.MessageID]). No two ids are kept alike, but those that are too long; nor is any like a number.
func MentionOfCall(id string) string {
	id = Text(id)
	for _, taken := range []string{ofNumber, ofLocalID, ofCall} {
		if strings.HasPrefix(id, taken) {
			return Text(ofCall + id)
		}
	}
	return id
}

// MentionOfNumber returns how stores keep an NHS number that an exchange is about ([Search.NHSNumber]),
// if its columns do not say so.
func MentionOfNumber(digits string) string { return Text(ofNumber + digits) }

// MentionOfLocalID is MentionOfNumber for the trust's own numbers ([Search.LocalID]).
func MentionOfLocalID(id string) string { return Text(ofLocalID + id) }

// Mentions returns what a commit's exchange can be found by beside its opening and how it ended, each
// once, as stores keep it: the ids of its calls and of letters of our own, the NHS numbers that Spine was
// asked about or named, whether they were used or not, and the other numbers that the message has.
func (c Commit) Mentions() []string {
	if c.Exchange == (ID{}) {
		return nil
	}
	var all []string
	add := func(text string) {
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	for _, e := range c.Entries {
		for _, id := range e.calls() {
			if id = Text(id); id != "" {
				add(MentionOfCall(id))
			}
		}
	}
	known := c.numbers()
	for _, digits := range c.mentioned() {
		if isNumber(digits) && digits != "" && !slices.Contains(known, digits) {
			add(MentionOfNumber(digits))
		}
	}
	if c.Open != nil {
		for _, id := range c.Open.LocalIDs {
			if Text(id) != "" && id != c.Open.LocalID {
				add(MentionOfLocalID(id))
			}
		}
	}
	return all
}

// calls returns the ids that an entry can be found by.
func (e Entry) calls() []string {
	f := e.Facts
	switch {
	case e.Kind == Asked, e.Kind == Answered:
		return []string{f.MessageID, f.TrackingID, f.PayloadID, f.AnswerID}
	case e.Kind == Queued && f.Type != Forwarded.String(): // which has the id of its message
		return []string{f.ControlID}
	default:
		return nil
	}
}

// numbers are those that an exchange is found by without a mention.
func (c Commit) numbers() []string {
	known := []string{c.Sent}
	if c.Open != nil {
		known = append(known, c.Open.NHSNumber)
	}
	for _, end := range []*Closing{c.Close, c.Late} {
		if end != nil {
			known = append(known, end.NHSNumber)
		}
	}
	return known
}

// mentioned are the NHS numbers that a commit names.
func (c Commit) mentioned() []string {
	var named []string
	if c.Open != nil {
		named = slices.Clone(c.Open.NHSNumbers)
	}
	for _, e := range c.Entries {
		switch e.Kind {
		case Asked, Answered, Finished:
			named = append(named, e.Facts.NHSSent, e.Facts.NHSFound)
		default:
		}
	}
	return named
}
