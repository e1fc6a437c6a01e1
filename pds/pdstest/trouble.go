package pdstest

// Trouble is a way for a back end to misbehave, in words that every kind of back end can
// act out.
type Trouble uint8

// The troubles. Each holds for every call.
const (
	None      Trouble = iota // behaves
	Silence                  // takes the question and never answers
	Drop                     // closes the connection instead of answering
	Garbage                  // answers well in HTTP, and nonsense in it
	Hollow                   // says that the patient was found, and not who it is
	Stranger                 // tells of somebody else, born on another day
	BusyTone                 // asks to come back later: HTTP 503
	Denial                   // refuses our credentials
	Hiccup                   // fails; may work later
	Breakdown                // fails; will not work later
	Rejection                // finds the question at fault
	LocalCopy                // answers from its own store, the national service being down
	Gibberish                // answers with a code that no list has
)

var troubles = [...]string{
	None: "none", Silence: "silence", Drop: "drop", Garbage: "garbage", Hollow: "hollow",
	Stranger: "stranger", BusyTone: "busy tone", Denial: "denial", Hiccup: "hiccup",
	Breakdown: "breakdown", Rejection: "rejection", LocalCopy: "local copy",
	Gibberish: "gibberish",
}

// String returns the trouble in words.
func (t Trouble) String() string {
	if int(t) < len(troubles) {
		return troubles[t]
	}
	return "no trouble"
}
