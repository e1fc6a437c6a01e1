package hl7v2

import (
	"testing"
	"time"
)

// a28 is an ordinary registration of 0.56 KB, as a PAS sends it.
var a28 = []byte("MSH|^~\\&|PAS|RXX|SPINETRACE|RXX|20250601101459||ADT^A28^ADT_A05|PAS0000451|P|2.4\r" +
	"EVN||20250601101458|||CLERK1|20250601101458\r" +
	"PID|1||RXX1234567^^^RXX^MR~9990000018^^^NHS^NH||AINDOW^COMFORT^ZULA^^MRS^^L||19430519|F|||1 TEST STREET^^EPSOM^^KT17 1NA^^H||01372 000000^PRN^PH~07700 900000^PRN^CP|01372 000001^WPN^PH|EN|M|1A|||||A||||||||N||ED~NSTS02\r" +
	"PD1|||TEST PRACTICE^^H81109|G9990001^TESTER^ALEX\r" +
	"NK1|1|AINDOW^ROWAN^^^MR|SPO|1 TEST STREET^^EPSOM^^KT17 1NA|01372 000000\r" +
	"PV1||N\r" +
	"ZPD|1|LEGACY|20250601|Y\r")

var (
	pathControlID          = MustPath("MSH-10")
	pathSendingApplication = MustPath("MSH-3")
)

// traceReads are the values that a trace needs.
var traceReads = []Path{
	MustPath("MSH-3"), MustPath("MSH-4"), MustPath("MSH-9.1"), MustPath("MSH-9.2"), MustPath("MSH-10"),
	MustPath("EVN-2"), MustPath("PID-3[2].1"), MustPath("PID-3[2].4"), MustPath("PID-5.1"), MustPath("PID-5.2"),
	MustPath("PID-7"), MustPath("PID-8"), MustPath("PID-11.5"), MustPath("PID-31"), MustPath("PID-32[2]"),
}

// BenchmarkParse indexes the segments of one A28.
func BenchmarkParse(b *testing.B) {
	b.SetBytes(int64(len(a28)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(a28); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseRead parses one A28 and reads the 15 values that a trace needs.
func BenchmarkParseRead(b *testing.B) {
	b.SetBytes(int64(len(a28)))
	b.ReportAllocs()
	for b.Loop() {
		m, err := Parse(a28)
		if err != nil {
			b.Fatal(err)
		}
		for _, p := range traceReads {
			m.Get(p)
		}
	}
}

// BenchmarkParseAck parses one A28 and encodes its acknowledgement.
func BenchmarkParseAck(b *testing.B) {
	b.SetBytes(int64(len(a28)))
	b.ReportAllocs()
	h := Header{Application: "SPINETRACE", Facility: "RXX", ControlID: "NT0000000123", Time: time.Date(2025, 6, 1, 10, 15, 0, 0, time.UTC)}
	for b.Loop() {
		m, err := Parse(a28)
		if err != nil {
			b.Fatal(err)
		}
		if len(Reply(m, h).MSA(AA, m.Raw(pathControlID), "").Bytes()) == 0 {
			b.Fatal("no answer")
		}
	}
}

// BenchmarkSet changes three fields of one A28 that is parsed each time.
func BenchmarkSet(b *testing.B) {
	id, name, status := MustPath("PID-3[2].1"), MustPath("PID-5.1"), MustPath("PID-32[2]")
	b.ReportAllocs()
	for b.Loop() {
		m, err := Parse(a28)
		if err != nil {
			b.Fatal(err)
		}
		for p, text := range map[Path]string{id: "9990000026", name: "NEW", status: "NSTS01"} {
			if err := m.Set(p, text); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkFingerprint hashes one A28 without its time.
func BenchmarkFingerprint(b *testing.B) {
	m, err := Parse(a28)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(a28)))
	b.ReportAllocs()
	for b.Loop() {
		m.Fingerprint()
	}
}
