package hl7v2_test

import (
	"fmt"
	"os"
	"time"

	"spinetrace/hl7v2"
)

const message = "MSH|^~\\&|PAS|RXX|SPINETRACE|RXX|20250601101459||ADT^A28^ADT_A05|PAS0000451|P|2.4\r" +
	"PID|1||RXX1234567^^^RXX^MR~9990000018^^^NHS^NH||O\\T\\NEIL^ANN||19430519|F|\"\"\r"

var (
	controlID   = hl7v2.MustPath("MSH-10")
	identifiers = hl7v2.MustPath("PID-3")
	family      = hl7v2.MustPath("PID-5.1")
	birthDate   = hl7v2.MustPath("PID-7")
	alias       = hl7v2.MustPath("PID-9")
)

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

func ExampleMessage_Set() {
	m, _ := hl7v2.Parse([]byte(message))
	if err := m.Set(identifiers.Repetition(2), "9990000026"); err != nil {
		fmt.Println(err)
	}
	fmt.Println(m.Raw(identifiers))
	// Output: RXX1234567^^^RXX^MR~9990000026
}

func ExampleReply() {
	m, _ := hl7v2.Parse([]byte(message))
	b := hl7v2.Reply(m, hl7v2.Header{
		ControlID: "NT0000000123",
		Time:      time.Date(2025, 6, 1, 10, 15, 0, 0, time.UTC),
	})
	b.MSA(hl7v2.AE, m.Raw(controlID), "Bad date")
	b.ERR(hl7v2.Fault{Code: hl7v2.CodeDataType, Segment: "PID", Field: 7})
	_ = hl7v2.Format(os.Stdout, b.Bytes())
	// Output:
	// MSH|^~\&|SPINETRACE|RXX|PAS|RXX|20250601101500||ACK^A28^ACK|NT0000000123|P|2.4
	// MSA|AE|PAS0000451|Bad date
	// ERR|PID^1^7^102&Data type error&HL70357
}
