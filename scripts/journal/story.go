package main

import (
	"fmt"
	"strings"

	"spinetrace/store"
)

// The words of the rehearsed messages that every performance has others for.
const (
	wordApplication = "PATTERNAPP"
	wordControlID   = "PATTERNCTL"
	wordAnswerID    = "PATTERNANS"
	wordUser        = "PATTERNUSR"
	wordLocalID     = "PATTERNMRN"
	wordFamily      = "PATTERNLY"
	wordBorn        = "19010203"
	wordTime        = "20260115120000"
	wordXMLTime     = "2026-01-15T12:00:00"
)

// A story is a kind of message, and what has become of it when it is over.
type story struct {
	name    string
	share   int // of a thousand exchanges
	message string
	slow    bool       // answered before its trace, as when Spine is slow
	ends    store.Kind // of the last event
	outcome store.Outcome
}

// stories is a mix as an acute trust has it: most messages are about patients who were traced, or
// about moves.
var stories = []story{
	{"moved", 400, adt("A03", "2.3", settled, "NSTS01"), false, store.Exchanged, store.NotTraced},
	{"settled", 300, adt("A28^ADT_A05", "2.4", settled, "NSTS01"), false, store.Exchanged, store.NotTraced},
	{"verified", 97, adt("A31^ADT_A05", "2.4", settled, "NSTS03"), false, store.Tried, store.Verified},
	{"traced", 70, adt("A28^ADT_A05", "2.4", unknown, "NSTS02"), false, store.Tried, store.Traced},
	{"late", 20, adt("A28^ADT_A05", "2.4", unknown, "NSTS02"), true, store.Tried, store.Traced},
	{"nobody", 10, adt("A28^ADT_A05", "2.4", stranger, "NSTS02"), false, store.Tried, store.NoMatch},
	{"superseded", 3, adt("A31^ADT_A05", "2.4", replaced, "NSTS03"), false, store.Tried, store.Superseded},
	{"looked up", 60, lookUp, false, store.Replied, store.Verified},
	{"searched", 40, search, false, store.Replied, store.Traced},
}

// Whom an ADT is about: the repetitions of PID-3 behind the local number, and the family name.
var (
	settled  = [2]string{"~" + numbers.current + "^^^NHS^NH", wordFamily}
	replaced = [2]string{"~" + numbers.former + "^^^NHS^NH", wordFamily}
	unknown  = [2]string{"", wordFamily}
	stranger = [2]string{"", wordFamily + "X"}
)

// adt is a message of 0.6 KB, as they come.
func adt(event, version string, who [2]string, status string) string {
	trigger, _, _ := strings.Cut(event, "^")
	return fmt.Sprintf("MSH|^~\\&|"+wordApplication+"|RXX01|SPINETRACE|RXX01|"+wordTime+"||ADT^%s|"+wordControlID+"|P|%s\r"+
		"EVN|%s|"+wordTime+"|||"+wordUser+"\r"+
		"PID|1||"+wordLocalID+"^^^RXX01^MR%s||%s^TESTER^^^^^L||"+wordBorn+"|F|||1 MADEUP TERRACE^^LEEDS^^LS99 1AA^^H||01130000000^PRN^PH|||||||||||||||||||%s\r"+
		"NK1|1|MADEUP^RELATIVE^^^MR^^L|SPO^Spouse|1 MADEUP TERRACE^^LEEDS^^LS99 1AA^^H|01130000001^PRN^PH|01130000002^WPN^PH|NOK^Next of kin\r"+
		"PD1|||MADEUP MEDICAL CENTRE^^Z99901\rPV1|1|O|CLINIC1^^^RXX01||||G9999999^MADEUP^DOCTOR|||||||||||V000001\r",
		event, version, trigger, who[0], who[1], status)
}

var lookUp = "MSH|^~\\&|" + wordApplication + "|RXX01|SPINETRACE|RXX01|" + wordTime + "||QRY^A19|" + wordControlID + "|P|2.4\r" +
	"QRD|" + wordTime + "|R|I|Q1|||1^RD|" + numbers.current + "^^^^^^^^NHS^^^^NH|DEM\rQRF|MPI||||" + wordBorn + "\r"

var search = "MSH|^~\\&|" + wordApplication + "|RXX01|SPINETRACE|RXX01|" + wordTime + "||QBP^Q22^QBP_Q21|" + wordControlID + "|P|2.5\r" +
	"QPD|IHE PDQ Query|T1|@PID.5.1.1^" + wordFamily + "~@PID.5.2^TESTER~@PID.7.1^" + wordBorn + "~@PID.8^F\rRCP|I|10^RD\r"
