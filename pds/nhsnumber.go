package pds

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Faults of a text that was offered as an NHS number.
var (
	// ErrNotTenDigits says that the text is not ten digits once spaces and hyphens are
	// gone: an old-style number, a local identifier, or nothing.
	ErrNotTenDigits = errors.New("pds: not ten digits")
	// ErrCheckDigit says that ten digits fail Modulus 11, or are ten equal digits,
	// which the arithmetic would pass.
	ErrCheckDigit = errors.New("pds: check digit wrong")
)

// NHSNumber is a valid ten-digit NHS number. The zero value is "not known". It is
// comparable, and it redacts itself wherever it is printed.
type NHSNumber struct{ digits string }

// ParseNHSNumber reads an NHS number with or without the spaces or hyphens of the
// 3-3-4 display form. Errors are [ErrNotTenDigits] and [ErrCheckDigit].
func ParseNHSNumber(s string) (NHSNumber, error) {
	digits, err := TenDigits(s)
	if err != nil {
		return NHSNumber{}, err
	}
	if !modulus11(digits) || strings.Count(digits, digits[:1]) == 10 {
		return NHSNumber{}, ErrCheckDigit
	}
	return NHSNumber{strings.Clone(digits)}, nil
}

// TenDigits reads what has the form of an NHS number, with or without spaces or hyphens, whatever its check
// digit. The error is [ErrNotTenDigits].
func TenDigits(s string) (string, error) {
	digits := strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, s)
	if len(digits) != 10 || strings.Trim(digits, "0123456789") != "" {
		return "", ErrNotTenDigits
	}
	return digits, nil
}

// MustNHSNumber is ParseNHSNumber for constants; it panics on a bad one.
func MustNHSNumber(s string) NHSNumber {
	n, err := ParseNHSNumber(s)
	if err != nil {
		panic(err)
	}
	return n
}

// modulus11 applies the NHS Data Dictionary's check: digits 1 to 9 by weights 10 to 2.
func modulus11(digits string) bool {
	sum := 0
	for i := range 9 {
		sum += int(digits[i]-'0') * (10 - i)
	}
	check := 11 - sum%11
	if check == 11 {
		check = 0
	}
	return check == int(digits[9]-'0')
}

// IsZero tells whether the number is not known.
func (n NHSNumber) IsZero() bool { return n.digits == "" }

// Digits returns the ten digits as they go on the wire, "" when the number is not known.
func (n NHSNumber) Digits() string { return n.digits }

// Spaced returns the number as people are shown it, 3-3-4 with spaces (MSCA-PDS-06).
func (n NHSNumber) Spaced() string {
	if n.IsZero() {
		return ""
	}
	return n.digits[:3] + " " + n.digits[3:6] + " " + n.digits[6:]
}

// String returns "redacted".
func (n NHSNumber) String() string { return redacted }

// Format prints "redacted" for every verb.
func (n NHSNumber) Format(f fmt.State, _ rune) { redact(f) }

// LogValue returns "redacted".
func (n NHSNumber) LogValue() slog.Value { return redactedValue }

// MarshalJSON writes "redacted".
func (n NHSNumber) MarshalJSON() ([]byte, error) { return redactedJSON, nil }
