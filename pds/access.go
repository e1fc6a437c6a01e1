package pds

import "fmt"

// Access is on whose behalf questions are asked: the access methods of the mini services.
type Access uint8

// The access methods. A session that was authenticated with a smartcard is none of them: there is
// no session to pass on.
const (
	Unattended       Access = iota // this system's; a Request may have a User
	Attended                       // a local user's, whom every Request has
	AttendedOrSystem               // a local user's; this system's if the Request has none
	Smartcard                      // that of a smartcard's holder: every Request has User and Role
)

var accesses = [...]string{"unattended", "attended", "attended or system", "smartcard"}

// String returns the access method in words.
func (a Access) String() string {
	if int(a) < len(accesses) {
		return accesses[a]
	}
	return fmt.Sprintf("access %d", uint8(a))
}

// Missing names what a request lacks of whom it is asked for, "" if it lacks nothing.
func (a Access) Missing(user, role string) string {
	switch {
	case user == "" && (a == Attended || a == Smartcard):
		return "user"
	case role == "" && a == Smartcard:
		return "role profile"
	}
	return ""
}
