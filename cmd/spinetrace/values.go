package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// The types of settings that envconfig does not know. Their errors never hold the value:
// the fault that is printed comes from howToWrite.

var errValue = errors.New("cannot be read")

// Size is a number of bytes, written as a plain number or with KiB or MiB behind it.
type Size int64

// Units of Size.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
)

// UnmarshalText reads "1048576", "1024KiB" or "1 MiB".
func (s *Size) UnmarshalText(text []byte) error {
	digits, unit := strings.TrimSpace(string(text)), Size(1)
	for suffix, u := range map[string]Size{"KiB": KiB, "MiB": MiB} {
		if rest, ok := strings.CutSuffix(digits, suffix); ok {
			digits, unit = strings.TrimSpace(rest), u
		}
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return errValue
	}
	*s = Size(n) * unit
	return nil
}

// String writes the size in the largest unit that divides it.
func (s Size) String() string {
	switch {
	case s != 0 && s%MiB == 0:
		return fmt.Sprintf("%d MiB", s/MiB)
	case s != 0 && s%KiB == 0:
		return fmt.Sprintf("%d KiB", s/KiB)
	}
	return strconv.FormatInt(int64(s), 10)
}

// Secret is a value that prints as *** wherever it is printed. It may be given in a file
// named by the setting's name with _FILE behind it.
type Secret struct{ value string }

const hidden = "***"

// Reveal returns the value: asking for it is deliberate.
func (s Secret) Reveal() string { return s.value }

// UnmarshalText keeps the text.
func (s *Secret) UnmarshalText(text []byte) error {
	s.value = string(text)
	return nil
}

// String returns "***", or "" when there is no value.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return hidden
}

// Format prints what String returns, for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) } // fmt.State keeps its own errors

// LogValue returns what String returns.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns what String returns.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// List is a comma-separated list; spaces around its items do not count.
type List []string

// UnmarshalText reads the list. An empty item is an error.
func (l *List) UnmarshalText(text []byte) error {
	*l = nil
	for item := range strings.SplitSeq(string(text), ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			return errValue
		}
		*l = append(*l, item)
	}
	return nil
}

// String writes the list with commas.
func (l List) String() string { return strings.Join(l, ",") }

// Networks is a comma-separated list of networks in CIDR notation; a single address is a
// network of its own.
type Networks []netip.Prefix

// UnmarshalText reads the list.
func (n *Networks) UnmarshalText(text []byte) error {
	var items List
	if err := items.UnmarshalText(text); err != nil {
		return err
	}
	*n = nil
	for _, item := range items {
		p, err := parseNetwork(item)
		if err != nil {
			return errValue
		}
		*n = append(*n, p)
	}
	return nil
}

func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Prefix(a.BitLen())
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// String writes the list with commas.
func (n Networks) String() string {
	items := make(List, len(n))
	for i, p := range n {
		items[i] = p.String()
	}
	return items.String()
}

// URL is an absolute http or https URL without user, query or fragment.
type URL struct{ *url.URL }

// UnmarshalText reads the URL.
func (u *URL) UnmarshalText(text []byte) error {
	v, err := url.Parse(string(text))
	if err != nil || v.Scheme != "http" && v.Scheme != "https" || v.Host == "" ||
		v.User != nil || v.RawQuery != "" || v.Fragment != "" {
		return errValue
	}
	u.URL = v
	return nil
}

// String returns the URL as text, "" when there is none.
func (u URL) String() string {
	if u.URL == nil {
		return ""
	}
	return u.URL.String()
}

// Rate is a number of calls a second; 0 means no limit. Its zero value was not given.
type Rate struct {
	perSecond float64
	given     bool
}

// UnmarshalText reads a number such as 4 or 0.5.
func (r *Rate) UnmarshalText(text []byte) error {
	n, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	if err != nil || !(n >= 0 && n <= 10_000) { // NaN is neither
		return errValue
	}
	*r = Rate{n, true}
	return nil
}

// String returns the number as text, "" when none was given.
func (r Rate) String() string {
	if !r.given {
		return ""
	}
	return strconv.FormatFloat(r.perSecond, 'g', -1, 64)
}

// or returns the rate, or another one if none was given.
func (r Rate) or(perSecond float64) float64 {
	if r.given {
		return r.perSecond
	}
	return perSecond
}

// Share is a number from 0 to 1.
type Share float64

// UnmarshalText reads a number such as 0.85.
func (s *Share) UnmarshalText(text []byte) error {
	n, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	if err != nil || !(n >= 0 && n <= 1) {
		return errValue
	}
	*s = Share(n)
	return nil
}

// String returns the number as text.
func (s Share) String() string { return strconv.FormatFloat(float64(s), 'g', -1, 64) }
