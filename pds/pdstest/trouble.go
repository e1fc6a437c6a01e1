package pdstest

// Trouble is a way for a back end to misbehave, in words that every kind of back end can
// act out.
type Trouble uint8

// The troubles. Each holds for every call.
const (
	None      Trouble = iota // behaves
	Silence                  // takes the question and never answers
	Drop                     // closes the connection instead of answering
	Cut                      // closes the connection in the middle of the answer
	Truncated                // answers half of what it should, as if it were the whole
	Garbage                  // answers well in HTTP, and nonsense in it
	WebPage                  // answers with a page for people, as a proxy or a login does
	Flood                    // answers without end
	Bomb                     // answers what takes more to read than it took to send
	Hollow                   // says that the patient was found, and not who it is
	Stranger                 // tells of somebody else, born on another day
	BusyTone                 // asks to come back later
	Throttle                 // asks to come back in seven seconds, HTTP 429
	Denial                   // refuses our credentials
	Expiry                   // refuses our credentials with HTTP 401, as if they were of yesterday
	WrongDoor                // HTTP 404, from somebody who is not the service
	Hiccup                   // fails; may work later
	Breakdown                // fails; will not work later
	Rejection                // finds the question at fault
	LocalCopy                // answers from its own store, the national service being down
	Gibberish                // answers with a code that no list has
)

var troubles = [...]string{
	None: "none", Silence: "silence", Drop: "drop", Cut: "cut", Truncated: "truncated",
	Garbage: "garbage", WebPage: "web page", Flood: "flood", Bomb: "bomb", Hollow: "hollow",
	Stranger: "stranger", BusyTone: "busy tone", Throttle: "throttle", Denial: "denial",
	Expiry: "expiry", WrongDoor: "wrong door", Hiccup: "hiccup", Breakdown: "breakdown",
	Rejection: "rejection", LocalCopy: "local copy", Gibberish: "gibberish",
}

// String returns the trouble in words.
func (t Trouble) String() string {
	if int(t) < len(troubles) {
		return troubles[t]
	}
	return "no trouble"
}
