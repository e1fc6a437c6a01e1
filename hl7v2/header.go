package hl7v2

var (
	pathMessageCode      = MustPath("MSH-9.1")
	pathMessageEvent     = MustPath("MSH-9.2")
	pathMessageStructure = MustPath("MSH-9.3")
	pathVersion          = MustPath("MSH-12.1")
	pathEventCode        = MustPath("EVN-1")
)

// Type returns the parts of MSH-9. Where the event is missing, as in v2.1, it
// is EVN-1.
func (m *Message) Type() (code, event, structure string) {
	return m.Get(pathMessageCode), m.event(), m.Get(pathMessageStructure)
}

func (m *Message) event() string {
	if event := m.Get(pathMessageEvent); event != "" {
		return event
	}
	return m.Get(pathEventCode)
}

// Version returns component 1 of MSH-12, "" when absent. `2.4^GBR` is "2.4".
func (m *Message) Version() string { return m.Get(pathVersion) }

// AtLeast reports whether the message is of version v or a later one. A version
// that is empty or is no version 2 counts as 2.4.
func (m *Message) AtLeast(v string) bool {
	return compareVersions(effectiveVersion(m.Version()), v) >= 0
}

const defaultVersion = "2.4"

// effectiveVersion returns v if it is a version 2, else the default.
func effectiveVersion(v string) string {
	if len(v) < 3 || len(v) > 8 || v[:2] != "2." {
		return defaultVersion
	}
	for i := range len(v) {
		if !isDigit(v[i]) && v[i] != '.' {
			return defaultVersion
		}
	}
	return v
}

// compareVersions compares dotted numbers of a few digits: 2.10 is after 2.9,
// and 2.5.1 after 2.5.
func compareVersions(a, b string) int {
	for a != "" || b != "" {
		var x, y int
		x, a = leadingNumber(a)
		y, b = leadingNumber(b)
		if x != y {
			return x - y
		}
	}
	return 0
}

// leadingNumber takes the number before the next dot.
func leadingNumber(s string) (n int, rest string) {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return n, s[i+1:]
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, ""
}
