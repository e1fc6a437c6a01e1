package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Notice tells that an item was opened. Its JSON is what a webhook gets.
type Notice struct {
	Item      int64     `json:"item"`                // the number that people call it by
	Kind      string    `json:"kind"`                // what is the matter, in words
	Opened    time.Time `json:"opened"`              //
	Times     int       `json:"times"`               // how often it was raised
	Chain     string    `json:"chain"`               // the instance that tells of it
	LocalID   string    `json:"local_id,omitempty"`  // of the patient; only if the receiver may know
	Authority string    `json:"authority,omitempty"` // that gave the local number out
}

// parse reads a notice. Bytes that are none will not become one.
func parse(msg []byte) (Notice, error) {
	var n Notice
	if err := json.Unmarshal(msg, &n); err != nil || n.Item <= 0 {
		return Notice{}, permanent{"it is not a notice"} // the decoder's own words may hold what is in it
	}
	return n, nil
}

// key is the same for every attempt at a notice, whichever instance makes it, and differs from
// every other notice's: two sites may both have an item 17, but not opened in the same microsecond.
func (n Notice) key() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "spinetrace item %d of %d", n.Item, n.Opened.UnixMicro()))
	return hex.EncodeToString(sum[:16])
}

func (n Notice) subject() string {
	return fmt.Sprintf("spinetrace: item %d, %s", n.Item, oneLine(n.Kind))
}

// text is what a person reads.
func (n Notice) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Item %d was opened: %s.\n\n", n.Item, oneLine(n.Kind))
	fmt.Fprintf(&b, "Opened:   %s\n", n.Opened.UTC().Format("2006-01-02 15:04:05 UTC"))
	if n.Times > 1 {
		fmt.Fprintf(&b, "Raised:   %d times\n", n.Times)
	}
	fmt.Fprintf(&b, "Instance: %s\n", oneLine(n.Chain))
	if n.LocalID != "" {
		fmt.Fprintf(&b, "Record:   %s\n", oneLine(strings.TrimPrefix(n.Authority+" "+n.LocalID, " ")))
	}
	fmt.Fprintf(&b, "\nTo look at it:\n\n    spinetrace items show %d\n", n.Item)
	return b.String()
}

// oneLine makes one line of s: what a message brought must not pass for a line of ours.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// permanent says why the same bytes will never be taken.
type permanent struct{ why string }

func (p permanent) Error() string { return p.why }
func (permanent) Permanent() bool { return true }
