package main

import (
	"fmt"
	"strings"

	"spinetrace/pds/pdstest"
)

// message is one HL7 message of a test and what is known of it.
type message struct {
	kind      string // the name of its form
	sender    string // MSH-3
	controlID string // MSH-10, empty if it has none that can be read
	bytes     []byte
	person    *pdstest.Person // whom it is about
	ack       string          // the one MSA-1 that may answer it; "" if that depends on the back end
	query     bool
}

// form is one way of writing a message about somebody.
type form struct {
	kind string
	ack  string
	text func(id, sender string, p *pdstest.Person) string
}

// traced are the forms that may be asked about.
var traced = []form{
	{"A28 without number", "AA", func(id, sender string, p *pdstest.Person) string {
		return msh(id, sender, "ADT^A28^ADT_A05", "P") + pid(p, "", "NSTS03")
	}},
	{"A31 with number", "AA", func(id, sender string, p *pdstest.Person) string {
		return msh(id, sender, "ADT^A31^ADT_A05", "P") + pid(p, "~"+p.Record.NHSNumber.Digits()+"^^^NHS^NH", "ED~NSTS02")
	}},
	{"A04 without number", "AA", func(id, sender string, p *pdstest.Person) string {
		return msh(id, sender, "ADT^A04^ADT_A01", "P") + pid(p, "", "")
	}},
	{"A08 with number", "AA", func(id, sender string, p *pdstest.Person) string {
		return msh(id, sender, "ADT^A08^ADT_A01", "P") + pid(p, "~"+p.Record.NHSNumber.Digits()+"^^^NHS", "")
	}},
}

// queries are the forms whose answer is about a patient.
var queries = []form{
	{"A19 by number", "", func(id, sender string, p *pdstest.Person) string {
		return msh(id, sender, "QRY^A19", "P") +
			fmt.Sprintf("QRD|20261122115959|R|I|Q%s|||1^RD|%s^^^^^^^^NHS^^^^NH|DEM\rQRF|PAS||||%s\r",
				id, p.Record.NHSNumber.Digits(), p.Record.BirthDate.Digits())
	}},
	{"Q22 by name", "", func(id, sender string, p *pdstest.Person) string {
		r := p.Record
		return msh(id, sender, "QBP^Q22^QBP_Q21", "P") + qpd(id,
			"@PID.5.1.1^"+escape(r.Family), "@PID.5.2^"+escape(first(r.Given)), "@PID.7.1^"+r.BirthDate.Digits(),
			"@PID.8^"+sexLetters[r.Sex], "@PID.11.5^"+r.Home.Postcode)
	}},
	{"Q22 by number", "", func(id, sender string, p *pdstest.Person) string {
		return msh(id, sender, "QBP^Q22^QBP_Q21", "P") + qpd(id,
			"@PID.3.1^"+p.Record.NHSNumber.Digits(), "@PID.3.4^NHS", "@PID.3.5^NH", "@PID.7.1^"+p.Record.BirthDate.Digits())
	}},
}

// untraced are the forms that nobody is asked about: stored, or refused.
var untraced = []form{
	{"A03", "AA", func(id, sender string, p *pdstest.Person) string {
		return msh(id, sender, "ADT^A03^ADT_A03", "P") + pid(p, "", "NSTS03")
	}},
	{"A28 of a verified number", "AA", func(id, sender string, p *pdstest.Person) string {
		return msh(id, sender, "ADT^A28^ADT_A05", "P") + pid(p, "~"+p.Record.NHSNumber.Digits()+"^^^NHS^NH", "NSTS01")
	}},
	{"A28 without PID", "AE", func(id, sender string, _ *pdstest.Person) string {
		return msh(id, sender, "ADT^A28^ADT_A05", "P")
	}},
	{"A28 of a test system", "AR", func(id, sender string, p *pdstest.Person) string {
		return msh(id, sender, "ADT^A28^ADT_A05", "T") + pid(p, "", "NSTS03")
	}},
	{"ORU", "AR", func(id, sender string, p *pdstest.Person) string {
		return msh(id, sender, "ORU^R01^ORU_R01", "P") + pid(p, "", "")
	}},
	{"A19 of a number nobody told of, without birth date", "AE", func(id, sender string, _ *pdstest.Person) string {
		return msh(id, sender, "QRY^A19", "P") +
			fmt.Sprintf("QRD|20261122115959|R|I|Q%s|||1^RD|9999999980^^^^^^^^NHS^^^^NH|DEM\r", id)
	}},
	{"A28 without control id", "AR", func(_, sender string, p *pdstest.Person) string {
		return msh("", sender, "ADT^A28^ADT_A05", "P") + pid(p, "", "NSTS03")
	}},
	{"no HL7", "AR", func(id, _ string, p *pdstest.Person) string {
		return "<patient id='" + id + "'>" + p.Record.Family + "</patient>"
	}},
}

// write fills the form in.
func (f form) write(id, sender string, p *pdstest.Person) message {
	m := message{kind: f.kind, sender: sender, bytes: []byte(f.text(id, sender, p)), person: p, ack: f.ack}
	if strings.Contains(string(m.bytes), "|"+id+"|") {
		m.controlID = id
	}
	m.query = strings.Contains(string(m.bytes), "|QRY^") || strings.Contains(string(m.bytes), "|QBP^")
	return m
}

func msh(id, sender, kind, processing string) string {
	version := "2.4"
	if strings.HasPrefix(kind, "QBP") {
		version = "2.5"
	}
	return `MSH|^~\&|` + sender + `|RXX|SPINETRACE|RXX|20261122115959||` + kind + "|" + id + "|" + processing + "|" + version + "||||||UNICODE UTF-8\r"
}

// pid is an EVN and a PID as a patient administration system would write them. ids are
// identifiers beside the local one, reliability is PID-32.
func pid(p *pdstest.Person, ids, reliability string) string {
	r := p.Record
	fields := make([]string, 33)
	fields[0], fields[1] = "PID", "1"
	fields[3] = localID(p) + "^^^RXX^MR" + ids
	fields[5] = escape(r.Family) + "^" + escape(first(r.Given)) + "^^^^^L"
	fields[7], fields[8] = r.BirthDate.Digits(), sexLetters[r.Sex]
	fields[11] = escape(r.Home.Lines[1]) + "^^" + escape(r.Home.Lines[3]) + "^^" + r.Home.Postcode + "^^H"
	fields[32] = reliability
	return "EVN||20261122115958\r" + strings.Join(fields, "|") + "\r"
}

func qpd(tag string, parameters ...string) string {
	return "QPD|IHE PDQ Query|T" + tag + "|" + strings.Join(parameters, "~") + "\rRCP|I|10^RD\r"
}

// localID is the number that the trust has for somebody.
func localID(p *pdstest.Person) string { return "L" + p.Record.NHSNumber.Digits() }

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

var escapes = strings.NewReplacer(`\`, `\E\`, "|", `\F\`, "^", `\S\`, "&", `\T\`, "~", `\R\`)

func escape(s string) string { return escapes.Replace(s) }

// author writes messages of one sender, each with a control id of its own, about one person
// after the other.
type author struct {
	sender string
	people *pdstest.Population
	n      int
}

func (a *author) write(f form) message {
	a.n++
	return f.write(fmt.Sprintf("%s-%06d", a.sender, a.n), a.sender, a.people.At(a.n*7%a.people.Len()))
}
