package pds

import (
	"errors"
	"fmt"
	"time"
)

// Class is the kind of technical end that a trace came to.
type Class uint8

// The classes, from smsp.md sections 3, 8 and 9.
const (
	ResponseInvalid  Class = iota + 1 // SMSP-0002, or an answer that cannot be read or cannot be true
	SpineError                        // DEMOG-9999
	SpineUnavailable                  // SMSP-0004, or no answer at all: refused, reset, timed out
	AccessDenied                      // SMSP-0005, fault 3000, HTTP 401 or 403: an operator must act
	ProviderError                     // SMSP-9999, faults 2100 and 2200, other faults of the server, HTTP 5xx
	InputInvalid                      // fault 1000, other faults of the client, HTTP 4xx
	UnknownCode                       // a code that no published list has: wrong endpoint or profile
	Busy                              // HTTP 503 or 429: the "busy tone"
	NoSlot                            // our own limit: no free place before the wait ended
	BreakerOpen                       // our own breaker: the service failed too often just now
	Unrecorded                        // the question could not be written down, so it was not asked
)

var classes = [...]string{
	ResponseInvalid:  "response invalid",
	SpineError:       "spine error",
	SpineUnavailable: "spine unavailable",
	AccessDenied:     "access denied",
	ProviderError:    "provider error",
	InputInvalid:     "input invalid",
	UnknownCode:      "unknown code",
	Busy:             "busy",
	NoSlot:           "no slot",
	BreakerOpen:      "breaker open",
	Unrecorded:       "unrecorded",
}

// String returns the class in words.
func (c Class) String() string {
	if int(c) < len(classes) && classes[c] != "" {
		return classes[c]
	}
	return "no class"
}

// Error is a technical end: nobody could find out. It never holds what the service said
// in words, because providers repeat the question there.
type Error struct {
	Class      Class
	Code       string        // the service's or fault's code, if there was one
	Status     int           // HTTP status; 0 when no response came
	Retry      bool          // asking again may help
	RetryAfter time.Duration // how long the service asked us to wait; 0 when it did not say
	Err        error         // the cause, if another error was one
}

// Error says class, code and status.
func (e *Error) Error() string {
	s := "pds: " + e.Class.String()
	if e.Code != "" {
		s += " " + e.Code
	}
	if e.Status != 0 {
		s += fmt.Sprintf(" (HTTP %d)", e.Status)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Retryable tells whether asking the same question again may help. It is decided where
// the failure is understood: only an [*Error] with Retry set is.
func Retryable(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Retry
}

// ClassOf returns the class of a technical end, 0 for any other error.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return 0
}
