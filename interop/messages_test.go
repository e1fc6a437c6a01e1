//go:build interop

package interop

import (
	"fmt"
	"strings"
)

// answer is what a client's own parser reads in an answer.
type answer struct {
	Ack    string `json:"ack"`    // MSA-1
	ID     string `json:"id"`     // MSA-2
	Text   string `json:"text"`   // MSA-3
	Number string `json:"number"` // the last one in PID-3
	Family string `json:"family"` // PID-5.1
	Class  string `json:"class"`  // the type that HAPI chose
	Error  string `json:"error"`
}

// form is one way of asking about somebody, and what must come back but for MSA-2.
type form struct {
	text string // %s is for MSH-3, MSH-10 and MSH-18, every one by its verb's index
	want answer
}

const header = `MSH|^~\&|%[1]s|RXX|SPINETRACE|RXX|20261122115959||`

// adt is the start of an ADT message.
func adt(event string) string {
	return header + "ADT^" + event + "|%[2]s|P|2.4||||||%[3]s\rEVN|" + event[:3] + "|20261122115959\r"
}

// Every person has one local number: a number of the NHS that two records of one authority hold
// is verified for neither.
var (
	a28 = form{
		adt("A28^ADT_A05") + "PID|1||LA^^^RXX^MR||HALVORSEN^PRIMROSE^^^^^L||19620417|F|||^^^^LS99 1AA\rPV1|1|N\r",
		answer{Ack: "AA", Text: "Traced", Number: "9990000018", Family: "HALVORSEN", Class: "ACK"},
	}
	a31 = form{
		adt("A31^ADT_A05") + "PID|1||LB^^^RXX^MR~9990000026^^^NHS^NH||O'DONNELLY^CIARAN^^^^^L||19751103|M\rPV1|1|N\r",
		answer{Ack: "AA", Text: "Verified", Number: "9990000026", Family: "O'DONNELLY", Class: "ACK"},
	}
	a19 = form{
		header + "QRY^A19|%[2]s|P|2.4||||||%[3]s\rQRD|20261122115959|R|I|Q%[2]s|||1^RD|9990000034^^^^^^^^NHS^^^^NH|DEM\rQRF|MPI||||19880229\r",
		answer{Ack: "AA", Number: "9990000034", Family: "TREMBLECOTE-VANE", Class: "ADR_A19"},
	}
	q22 = form{
		header + "QBP^Q22^QBP_Q21|%[2]s|P|2.5||||||%[3]s\rQPD|IHE PDQ Query|T%[2]s|@PID.5.1.1^BRACKENTHWAITE~@PID.5.2^OSRIC~@PID.7.1^19490808~@PID.8^M~@PID.11.5^LS99 1AF\rRCP|I|10^RD\r",
		answer{Ack: "AA", Number: "9990500002", Family: "BRACKENTHWAITE", Class: "RSP_K21"},
	}

	// What the index completes, once an A28 has told of the patient.
	a19Local = form{
		header + "QRY^A19|%[2]s|P|2.4||||||%[3]s\rQRD|20261122115959|R|I|Q%[2]s|||1^RD|LA^^^^^^^^RXX^^^^MR|DEM\r",
		answer{Ack: "AA", Number: "LA", Family: "HALVORSEN", Class: "ADR_A19"},
	}
	q21 = form{
		header + "QBP^Q21^QBP_Q21|%[2]s|P|2.5||||||%[3]s\rQPD|Q21^Get Person Demographics^HL70471|T%[2]s|9990000018^^^NHS^NH\rRCP|I\r",
		answer{Ack: "AA", Number: "LA", Family: "HALVORSEN", Class: "RSP_K21"},
	}
	q23 = form{
		header + "QBP^Q23^QBP_Q21|%[2]s|P|2.5||||||%[3]s\rQPD|IHE PIX Query|T%[2]s|LA^^^RXX^MR|^^^NHS\rRCP|I\r",
		answer{Ack: "AA", Number: "9990000018", Class: "RSP_K23"},
	}
	q23Unknown = form{
		header + "QBP^Q23^QBP_Q21|%[2]s|P|2.5||||||%[3]s\rQPD|IHE PIX Query|T%[2]s|NEVERSEEN^^^RXX^MR|^^^NHS\rRCP|I\r",
		answer{Ack: "AE", Text: "Unknown identifier", Class: "RSP_K23"},
	}
	q22Older  = form{strings.Replace(q22.text, "|P|2.5", "|P|2.4", 1), answer{Ack: "AA", Number: "9990500002", Family: "BRACKENTHWAITE", Class: "RSP_K22"}}
	q22Nobody = form{strings.Replace(q22.text, "OSRIC", "OSBERT", 1), answer{Ack: "AA", Text: "No match", Class: "RSP_K21"}}

	// Names that ISO 8859-1 has, and one that it has not.
	accents = form{
		adt("A28^ADT_A05") + "PID|1||LC^^^RXX^MR||MÜLLERSON^ZOË^^^^^L||19930927|F|||^^^^LS99 7ES\rPV1|1|N\r",
		answer{Ack: "AA", Text: "Traced", Number: "9990601968", Family: "MÜLLERSON", Class: "ACK"},
	}
	accentsFound = form{
		header + "QBP^Q22^QBP_Q21|%[2]s|P|2.5||||||%[3]s\rQPD|IHE PDQ Query|T%[2]s|@PID.5.1.1^NÚÑEZ~@PID.5.2^JOSÉ~@PID.7.1^19840210~@PID.8^M~@PID.11.5^LS99 6ER\rRCP|I|10^RD\r",
		answer{Ack: "AA", Number: "9990601895", Family: "NÚÑEZ", Class: "RSP_K21"},
	}
	polish = form{
		adt("A28^ADT_A05") + "PID|1||LD^^^RXX^MR||ŁUKASZEWICZ^PAWEŁ^^^^^L||19860814|M|||^^^^LS99 9EU\rPV1|1|N\r",
		answer{Ack: "AA", Text: "Traced", Number: "9990602107", Family: "ŁUKASZEWICZ", Class: "ACK"},
	}

	big = form{
		// In pieces, because HAPI takes no comment of 32,000 characters.
		a28.text + strings.Repeat("NTE|1||"+strings.Repeat("0123456789", 2_500)+"\r", 20),
		a28.want,
	}

	// What is wrong with them makes AE and AR.
	noPatient = form{adt("A28^ADT_A05") + "PV1|1|N\r", answer{Ack: "AE", Text: "PID segment missing", Class: "ACK"}}
	notOurs   = form{
		header + "ORU^R01|%[2]s|P|2.4||||||%[3]s\rPID|1||L%[2]s^^^RXX^MR||HALVORSEN^PRIMROSE\rOBR|1|||X\rOBX|1|NM|X||1\r",
		answer{Ack: "AR", Text: "Unsupported message type", Class: "ACK"},
	}
	noBirthDate = form{
		header + "QRY^A19|%[2]s|P|2.4||||||%[3]s\rQRD|20261122115959|R|I|Q%[2]s|||1^RD|9990000034^^^^^^^^NHS^^^^NH|DEM\r",
		answer{Ack: "AE", Text: "Date of birth required", Class: "ADR_A19"},
	}
)

// write returns the message of a sender, and what must come back.
func (f form) write(sender, id, charset string) (string, answer) {
	want := f.want
	want.ID = id
	return fmt.Sprintf(f.text, sender, id, charset), want
}
