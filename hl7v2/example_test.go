package hl7v2_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"spinetrace/hl7v2"
)

const message = "MSH|^~\\&|PAS|RXX|SPINETRACE|RXX|20250601101459||ADT^A28^ADT_A05|PAS0000451|P|2.4\r" +
	"PID|1||RXX1234567^^^RXX^MR~9990000018^^^NHS^NH||O\\T\\NEIL^ANN||19430519|F|\"\"\r"

// Paths are compiled once, at package level.
var (
	controlID   = hl7v2.MustPath("MSH-10")
	identifiers = hl7v2.MustPath("PID-3")
	family      = hl7v2.MustPath("PID-5.1")
	birthDate   = hl7v2.MustPath("PID-7")
	alias       = hl7v2.MustPath("PID-9")
)

// answerTime stands for time.Now in the examples.
var answerTime = time.Date(2025, 6, 1, 10, 15, 0, 0, time.UTC)

// A receiver that answers everything it gets: AA to what it can read, AR to
// what it cannot.
func Example() {
	receive := func(b []byte) []byte {
		h := hl7v2.Header{Application: "SPINETRACE", Facility: "RXX", ControlID: "ST0000000001", Time: answerTime}
		m, err := hl7v2.Parse(b)
		if err != nil {
			head := hl7v2.Head(b) // nil when there is no MSH, and Reply takes that
			return hl7v2.Reply(head, h).MSA(hl7v2.AR, head.Raw(controlID), "Not readable").Bytes()
		}
		return hl7v2.Reply(m, h).MSA(hl7v2.AA, m.Raw(controlID), "").Bytes()
	}
	for _, in := range []string{message, strings.Replace(message, "PID|", "PI|", 1), "hello"} {
		_ = hl7v2.Format(os.Stdout, receive([]byte(in)))
	}
	// Output:
	// MSH|^~\&|SPINETRACE|RXX|PAS|RXX|20250601101500||ACK^A28^ACK|ST0000000001|P|2.4
	// MSA|AA|PAS0000451
	// MSH|^~\&|SPINETRACE|RXX|PAS|RXX|20250601101500||ACK^A28^ACK|ST0000000001|P|2.4
	// MSA|AR|PAS0000451|Not readable
	// MSH|^~\&|SPINETRACE|RXX|||20250601101500||ACK|ST0000000001|P|2.4
	// MSA|AR||Not readable
}

func ExampleParse() {
	m, err := hl7v2.Parse([]byte(message))
	if err != nil {
		fmt.Println(err) // says where, never what
		return
	}
	born, _ := hl7v2.ParseDate(m.Get(birthDate))
	_, there := m.Lookup(alias)
	fmt.Println(m.Get(family), born.Year, there)
	for _, id := range m.Repetitions(identifiers) {
		fmt.Println(id.Component(1), id.Component(4), id.Component(5))
	}
	// Output:
	// O&NEIL 1943 null
	// RXX1234567 RXX MR
	// 9990000018 NHS NH
}

func ExampleParseError() {
	_, err := hl7v2.Parse([]byte("MSH|^~^&|PAS\r"))
	var where *hl7v2.ParseError
	if errors.As(err, &where) {
		fmt.Println(where.Segment, where.Field, errors.Is(err, hl7v2.ErrDelimiters))
	}
	fmt.Println(err)
	// Output:
	// MSH 2 true
	// hl7v2: parse: MSH-2: unusable delimiters
}

func ExampleMessage_Segments() {
	m, _ := hl7v2.Parse([]byte(message + "NK1|1|O\\T\\NEIL^ROWAN|SPO\rNK1|2|TESTER^ALEX|FND\r"))
	for s := range m.Segments() {
		if s.Name() != "NK1" {
			continue
		}
		for _, name := range s.Field(2) {
			fmt.Println(name.Component(2), name.Component(1))
		}
	}
	// Output:
	// ROWAN O&NEIL
	// ALEX TESTER
}

func ExampleMessage_Warnings() {
	m, _ := hl7v2.Parse([]byte("MSH|^&~\\|PAS\nPID|||9990000018^^^NHS^NH\n"))
	fmt.Println(m.Get(hl7v2.MustPath("PID-3.4")))
	for _, w := range m.Warnings() {
		fmt.Println(w)
	}
	// Output:
	// NHS
	// MSH-2 swapped, read as ^~\&
	// segments end in LF or CRLF
}

// A change leaves every other byte as its sender wrote it: odd escapes, bytes of
// the sender's character set, segments that the standard does not have.
func ExampleMessage_Set() {
	before := "MSH|^~\\&|PAS||||||ADT^A28|1|P|2.4||||||8859/1\r" +
		"PID|||RXX1234567^^^RXX^MR~9990000018^^^NHS^NH||O\\Neil^Ren\xE9^^\rZPD|\"\"\r"
	m, _ := hl7v2.Parse([]byte(before))
	if err := m.Set(hl7v2.MustPath("PID-3[2].1"), "9990000026"); err != nil {
		fmt.Println(err)
	}
	if err := m.Set(hl7v2.MustPath("PID-32"), "NSTS01"); err != nil {
		fmt.Println(err)
	}
	fmt.Println(m.Raw(identifiers))
	undone := bytes.Replace(m.Bytes(), []byte("9990000026"), []byte("9990000018"), 1)
	undone = bytes.Replace(undone, []byte(strings.Repeat("|", 27)+"NSTS01"), nil, 1)
	fmt.Println(string(undone) == before)
	// Output:
	// RXX1234567^^^RXX^MR~9990000026^^^NHS^NH
	// true
}

func ExampleReply() {
	m, _ := hl7v2.Parse([]byte(message))
	b := hl7v2.Reply(m, hl7v2.Header{ControlID: "ST0000000123", Time: answerTime})
	b.MSA(hl7v2.AE, m.Raw(controlID), "Bad date")
	b.ERR(hl7v2.Fault{Code: hl7v2.CodeDataType, Segment: "PID", Field: 7})
	_ = hl7v2.Format(os.Stdout, b.Bytes())
	// Output:
	// MSH|^~\&|SPINETRACE|RXX|PAS|RXX|20250601101500||ACK^A28^ACK|ST0000000123|P|2.4
	// MSA|AE|PAS0000451|Bad date
	// ERR|PID^1^7^102&Data type error&HL70357
}

// An answer that carries values: text is escaped, raw values are echoed as they
// came.
func ExampleBuilder() {
	m, _ := hl7v2.Parse([]byte(message))
	b := hl7v2.Reply(m, hl7v2.Header{Type: "ADR^A19^ADR_A19", ControlID: "ST0000000124", Time: answerTime})
	b.MSA(hl7v2.AA, m.Raw(controlID), "")
	b.Segment("PID").Text(1, "1").Raw(3, m.Raw(identifiers))
	b.Composite(5, "SMITH & SONS", "ANN").Text(7, "19430519")
	if err := b.Err(); err != nil { // a field out of order, for instance
		fmt.Println(err)
	}
	_ = hl7v2.Format(os.Stdout, b.Bytes())
	// Output:
	// MSH|^~\&|SPINETRACE|RXX|PAS|RXX|20250601101500||ADR^A19^ADR_A19|ST0000000124|P|2.4
	// MSA|AA|PAS0000451
	// PID|1||RXX1234567^^^RXX^MR~9990000018^^^NHS^NH||SMITH \T\ SONS^ANN||19430519
}

func ExampleSplit() {
	frame := "BHS|^~\\&|PAS|RXX|SPINETRACE|RXX|20250601||||B1\r" + message + message + "BTS|2\r"
	batch := hl7v2.Split([]byte(frame))
	var answers [][]byte
	for i, b := range batch.Messages {
		m, err := hl7v2.Parse(b)
		if err != nil {
			fmt.Println(err)
			return
		}
		h := hl7v2.Header{ControlID: fmt.Sprintf("ST%d", i+1), Time: answerTime}
		answers = append(answers, hl7v2.Reply(m, h).MSA(hl7v2.AA, m.Raw(controlID), "").Bytes())
	}
	reply := batch.Reply(func() hl7v2.Header { return hl7v2.Header{ControlID: "ST0", Time: answerTime} }, answers)
	fmt.Print(strings.ReplaceAll(string(reply), "\r", "\n"))
	// Output:
	// BHS|^~\&|SPINETRACE|RXX|PAS|RXX|20250601101500||||ST0|B1
	// MSH|^~\&|SPINETRACE|RXX|PAS|RXX|20250601101500||ACK^A28^ACK|ST1|P|2.4
	// MSA|AA|PAS0000451
	// MSH|^~\&|SPINETRACE|RXX|PAS|RXX|20250601101500||ACK^A28^ACK|ST2|P|2.4
	// MSA|AA|PAS0000451
	// BTS|2
}

func ExampleParseDate() {
	for _, s := range []string{"19430519", "194305", "20080920000000.0000+0100", "20240230", "11/08/1926"} {
		d, err := hl7v2.ParseDate(s)
		fmt.Println(d, d.Full(), err)
	}
	// Output:
	// 19430519 true <nil>
	// 194305 false <nil>
	// 20080920 true <nil>
	//  false hl7v2: parse date: not a date
	//  false hl7v2: parse date: not a date
}

func ExampleDescribe() {
	_ = hl7v2.Describe(os.Stdout, []byte(message))
	// Output:
	// MSH  Message Header
	//   MSH-1   Field Separator        |
	//   MSH-2   Encoding Characters    ^~\&
	//   MSH-3   Sending Application    PAS
	//   MSH-4   Sending Facility       RXX
	//   MSH-5   Receiving Application  SPINETRACE
	//   MSH-6   Receiving Facility     RXX
	//   MSH-7   Date/Time of Message   20250601101459
	//   MSH-9   Message Type           .1 ADT  .2 A28  .3 ADT_A05
	//   MSH-10  Message Control ID     PAS0000451
	//   MSH-11  Processing ID          P
	//   MSH-12  Version ID             2.4
	// PID  Patient Identification
	//   PID-1     Set ID - PID             1
	//   PID-3[1]  Patient Identifier List  .1 RXX1234567  .4 RXX  .5 MR
	//   PID-3[2]                           .1 9990000018  .4 NHS  .5 NH
	//   PID-5     Patient Name             .1 O&NEIL  .2 ANN
	//   PID-7     Date/Time of Birth       19430519
	//   PID-8     Administrative Sex       F
	//   PID-9     Patient Alias            ""
}
