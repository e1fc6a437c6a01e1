package main

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"spinetrace/store"
)

// footing is what a run of the service stands on, as the row of its start tells it: the settings,
// and the certificates and tables that it works with.
type footing struct {
	digest   string            // of the settings
	settings map[string]string // those that are not the default; of a secret only a mark
	uses     map[string]string // by name: a fingerprint and, behind a space, what else there is to say
}

// The keys of an event's details. Those of settings are the settings' names, in capitals.
const (
	keyUses        = "uses "   // and the name of a certificate or a table in use
	keyStarted     = "started" // number of the row that the run began with
	keyOldDigest   = "configuration.old"
	keyName        = "name"
	keyOld, keyNew = "old", "new"
)

// details are the footing as the row of the start holds it.
func (f footing) details() map[string]string {
	d := maps.Clone(f.settings)
	addUses(d, f.uses)
	return d
}

// recorded tells whether the row of the start says all this: that of an older program does not.
func (f footing) recorded() bool { return len(f.uses) > 0 }

func addUses(details, uses map[string]string) {
	for name, text := range uses {
		details[keyUses+name] = text
	}
}

// cutUses takes what was in use out of details.
func cutUses(details map[string]string) map[string]string {
	uses := make(map[string]string)
	for key, text := range details {
		if name, ok := strings.CutPrefix(key, keyUses); ok {
			uses[name] = text
		}
	}
	return uses
}

// footingOf reads the row of a start.
func footingOf(started store.Facts) footing {
	f := footing{digest: started.Config, settings: make(map[string]string), uses: cutUses(started.Details)}
	for key, text := range started.Details {
		if key == strings.ToUpper(key) {
			f.settings[key] = text
		}
	}
	return f
}

// markSecret begins what the journal holds of a secret: a salt, and two bytes of a digest.
const markSecret = "secret "

// mark tells a secret from another one. Two bytes show a change but for one in 65,536, and do not
// tell a guess that is right from one in 65,536 that is wrong. The salt stays while the secret does,
// or each start would tell two bytes more.
func (s Secret) mark(before string) string {
	salt, _, _ := strings.Cut(strings.TrimPrefix(before, markSecret), ":")
	if salt != "" && s.salted(salt) == before {
		return before
	}
	return s.salted(rand.Text())
}

func (s Secret) salted(salt string) string {
	h := hmac.New(sha256.New, []byte(salt))
	h.Write([]byte(s.Reveal()))
	return markSecret + salt + ":" + hex.EncodeToString(h.Sum(nil)[:2])
}

// userinfo is where a URL may hold a password.
var userinfo = regexp.MustCompile(`//[^/?#\s]*@`)

// written is a setting's value as the journal may hold it.
func (s setting) written(before string) string {
	if secret, ok := s.value.Interface().(Secret); ok {
		return secret.mark(before)
	}
	return userinfo.ReplaceAllString(fmt.Sprint(s.value.Interface()), "//"+hidden+"@")
}

// given returns the settings that are not the default, in the words of the journal. Secrets that
// are the same as before keep their marks.
func (c *config) given(defaults map[string]any, before map[string]string) map[string]string {
	given := make(map[string]string)
	for s := range settings(c) {
		if !reflect.DeepEqual(s.value.Interface(), defaults[s.name]) {
			given[s.name] = s.written(before[s.name])
		}
	}
	return given
}

// defaultValues are those of the settings without any variable.
func defaultValues() (map[string]any, error) {
	plain, err := defaultConfig()
	values := make(map[string]any)
	for s := range settings(&plain) {
		values[s.name] = s.value.Interface()
	}
	return values, err
}

// inWords writes a setting as it was or is; one that was not given is the default.
func inWords(text string, fallback any) string {
	switch {
	case text != "":
		return text
	case fallback == nil || fmt.Sprint(fallback) == "":
		return "the default"
	}
	return fmt.Sprintf("%v, the default", fallback)
}

// reconfigured is the row that says what differs from the settings of the last start; ok is false
// if nothing does.
func reconfigured(before, now footing, defaults map[string]any) (e store.Entry, ok bool) {
	facts := store.Facts{Config: now.digest}
	switch {
	case before.recorded():
		facts.Details = changes(before.settings, now.settings, defaults)
	case before.digest != now.digest:
		facts.Reason = "the last start did not record its settings"
	}
	switch {
	case facts.Details == nil && before.digest == now.digest:
		return store.Entry{}, false
	case facts.Details == nil:
		facts.Details = make(map[string]string)
		facts.Reason = cmp.Or(facts.Reason, "the program has other settings, or other defaults, than at the last start")
	}
	facts.Details[keyOldDigest] = before.digest
	return store.Entry{Kind: store.Reconfigured, Facts: facts}, true
}

// changes are the settings that differ, with both values; nil if none does. Of a secret it is
// only told that it changed.
func changes(before, now map[string]string, defaults map[string]any) map[string]string {
	var changed map[string]string
	for name := range union(before, now) {
		was, is := before[name], now[name]
		if was == is {
			continue
		}
		if changed == nil {
			changed = make(map[string]string)
		}
		if strings.HasPrefix(was, markSecret) || strings.HasPrefix(is, markSecret) {
			changed[name] = "changed"
			continue
		}
		changed[name+".old"], changed[name+".new"] = inWords(was, defaults[name]), inWords(is, defaults[name])
	}
	return changed
}

// union returns the keys of both.
func union(a, b map[string]string) map[string]struct{} {
	keys := make(map[string]struct{}, len(a)+len(b))
	for _, m := range []map[string]string{a, b} {
		for key := range m {
			keys[key] = struct{}{}
		}
	}
	return keys
}

// renewals are the rows that say which certificates and tables are others than before, by the
// first word of what is said of them: the fingerprint.
func renewals(before, now map[string]string) []store.Entry {
	var entries []store.Entry
	for _, name := range slices.Sorted(maps.Keys(union(before, now))) {
		was, is := before[name], now[name]
		if fingerprint(was) == fingerprint(is) {
			continue
		}
		entries = append(entries, store.Entry{Kind: store.Renewed, Facts: store.Facts{
			Details: onlyKnown(map[string]string{keyName: name, keyOld: was, keyNew: is}),
		}})
	}
	return entries
}

func fingerprint(text string) string {
	first, _, _ := strings.Cut(text, " ")
	return first
}

const (
	// lookBack is how many events the first step back along a chain takes; each further one takes
	// twice as many.
	lookBack = 1 << 10
	// lookBackEnd is where the search ends. A service tells every hour where its start is, so that
	// only one that was killed in the hour of its life looks far.
	lookBackEnd = 1 << 20
)

// lastFooting returns what the newest run of a chain stood on when it was last heard of; ok is
// false if there was none, or too long ago.
func lastFooting(ctx context.Context, db store.Audit, head store.Head) (f footing, ok bool, err error) {
	newer := make(map[string]string) // what was renewed after the row that tells the rest
	upTo := head.Seq
	for step := int64(lookBack); upTo > 0 && head.Seq-upTo < lookBackEnd; step *= 2 {
		from := max(1, upTo-step+1)
		told, err := ownEvents(ctx, db, store.Query{Chain: head.Chain, From: from}, upTo)
		if err != nil {
			return f, false, err
		}
		for _, e := range slices.Backward(told) {
			if f, ok, err = footingAt(ctx, db, e, newer); ok || err != nil {
				return f, ok, err
			}
		}
		upTo = from - 1
	}
	return f, false, nil
}

// ownEvents returns the events in which the service tells of its footing, up to one with a number.
func ownEvents(ctx context.Context, db store.Audit, q store.Query, upTo int64) ([]store.Event, error) {
	var told []store.Event
	for e, err := range db.Events(ctx, q) {
		if err != nil {
			return nil, err
		}
		if e.Seq > upTo {
			break
		}
		switch e.Kind {
		case store.Started, store.Stopped, store.Clocked, store.Renewed:
			told = append(told, e)
		default:
		}
	}
	return told, nil
}

// footingAt reads one such event. If that tells where the start is, the footing is complete.
func footingAt(ctx context.Context, db store.Audit, e store.Event, newer map[string]string) (f footing, ok bool, err error) {
	facts, err := e.Facts()
	if err != nil {
		return f, false, nil // a damaged event is for audit verify to tell of
	}
	if e.Kind == store.Renewed {
		if name := facts.Details[keyName]; newer[name] == "" {
			newer[name] = facts.Details[keyNew]
		}
		return f, false, nil
	}
	uses := cutUses(facts.Details)
	if e.Kind != store.Started {
		seq, _ := strconv.ParseInt(facts.Details[keyStarted], 10, 64)
		if facts, ok, err = startedAt(ctx, db, place{e.Chain, seq}); !ok || err != nil {
			return f, false, err // an older program did not say where it is
		}
	}
	f = footingOf(facts)
	f.uses = uses
	maps.Copy(f.uses, newer)
	return f, true, nil
}

// startedAt reads the row of a start.
func startedAt(ctx context.Context, db store.Audit, at place) (f store.Facts, ok bool, err error) {
	if at.seq < 1 {
		return f, false, nil
	}
	found, err := collect(ctx, db, store.Query{Chain: at.chain, From: at.seq}, 1)
	if err != nil || len(found) == 0 || found[0].Kind != store.Started {
		return f, false, err
	}
	f, err = found[0].Facts()
	return f, err == nil, nil
}
