// Package notify tells people, by webhook or by mail, that there is something to look at. A
// [Notice] names an item and says where to read it; it holds no more of a patient than whoever
// made it put in.
//
// A [Webhook] and a [Mail] send one notice at a time and make one attempt. Whoever calls them sends
// the same bytes again after an error, unless it says that this will not help: it then has a method
// Permanent() bool that returns true. A receiver can tell a notice that it got before by a key that
// is the same at every attempt. The texts of errors hold no address of a webhook, no credentials,
// and nothing that the other side wrote.
package notify
