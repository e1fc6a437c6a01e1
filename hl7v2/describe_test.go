package hl7v2

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func describe(t testing.TB, in string) string {
	t.Helper()
	var out bytes.Buffer
	if err := Describe(&out, []byte(in)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestDescribeGoldens(t *testing.T) {
	const query = "QPD|IHE PDQ Query|TAG0042|@PID.5.1.1^CHISLETT~@PID.5.2^OCTAVIA~@PID.8^F|||||^^^NHS\r"
	for name, in := range map[string]string{
		"registration": string(a28),
		"merge": strings.Replace(msh, "A28^ADT_A05", "A40", 1) + "\r" +
			"PID|||RXX1234567^^^RXX^MR||\"\"^ANN|||||||||||||||||||||||||||||||||||||||extra\r" +
			"MRG|RXX7654321^^^RXX^MR||||\"\"||OLD^ANN\r",
		"answer-2.5": `MSH|^~\&|ST|RXX|PORTAL|RXX|20250601111001||RSP^K22^RSP_K21|NT1|P|2.5.1|||||||||PDQ^IHE` + "\r" +
			"SFT|TESTS LTD|1.0|ST\rMSA|AE|P1|Date of birth required\r" +
			"ERR||QPD^1^3^2|101^Required field missing^HL70357|E|||@PID.7 is missing|Give a date of birth\r" +
			"QAK|TAG0042|AE|IHE PDQ Query|0|0|0\r" + query,
		"query": strings.Replace(msh, "ADT^A28^ADT_A05", "QBP^Q22", 1) + "\r" + query +
			"RCP|I|10^RD|R\rDSC|1|I\rQID|TAG|Q\rQRI|99\r" +
			"QRD|20250601110000|R|I|Q000017|||1^RD|9990000018^^^^^^^^NHS^^^^NH|DEM\rQRF|RXX||||19430519\rNTE|1|L|as told by phone\r",
		"quirks": byteOrderMark + "MSH$*:!%#$PAS$R&D$$$20250601101500$$ADT*A28$C1$P$2.4$$$$$$8859/1\r\n" +
			"PID$1$$A%B%%*:::C***N!T!HS$$SMITH & SONS*Zo\xEB\x1c!X0D0A!!Q!!Zx!cut#$\x1b[31m\r\n" +
			"ZPD$1$A*B\r\n",
		"multi-byte": msh + "||||||BIG-5\rPID|||||\xB3\x5C^\xA5\x7C\r",
		"short":      "MSH|^|PAS^X\rPID|A~B&C\\D^E\rPV1\r",
		"batch": "FHS|^~\\&|PAS|RXX|||20250601||F.HL7||F1\rBHS|^~\\&|PAS|RXX|||20250601||||B1\r" +
			msh + "\rEVN|A28\r" + strings.ReplaceAll(msh, "|", "$") + "\rEVN$A31\rBTS|2|all^of it|1~2\rFTS|1\rleft over\r",
		"refused":    msh + "\rPID|1\rsecond\x1b line\rPV1||N\r",
		"no-message": "<html>\r\n\x01</html>\r\n",
		"trailers":   "BTS*1*A^B\rFTS\r",
	} {
		t.Run(name, func(t *testing.T) {
			goldenText(t, "describe-"+name+".txt", describe(t, in))
		})
	}
	if got := describe(t, ""); got != "" {
		t.Errorf("nothing is described as %q", got)
	}
}

// errWriter takes nothing.
type errWriter struct{}

var errFull = errors.New("full")

func (errWriter) Write([]byte) (int, error) { return 0, errFull }

func TestPrintingReturnsTheWritersError(t *testing.T) {
	if err := Describe(errWriter{}, a28); !errors.Is(err, errFull) {
		t.Errorf("Describe = %v", err)
	}
	if err := Format(errWriter{}, a28); !errors.Is(err, errFull) {
		t.Errorf("Format = %v", err)
	}
}

func TestFieldNames(t *testing.T) {
	for segment, name := range segmentNames {
		if len(segment) != 3 || !nameStart(segment) || name.title == "" || len(name.fields) == 0 {
			t.Errorf("%q is no row of the table", segment)
		}
		for i, field := range name.fields {
			if strings.Trim(field, " ") != field || field == "" {
				t.Errorf("%s-%d is called %q", segment, i+1, field)
			}
		}
	}
	for _, tt := range []struct {
		segment string
		n       int
		v25     bool
		want    string
	}{
		{"PID", 32, false, "Identity Reliability Code"},
		{"PV1", 52, false, "Other Healthcare Provider"},
		{"MSH", 21, false, "Conformance Statement ID"},
		{"MSH", 21, true, "Message Profile Identifier"},
		{"MSH", 22, true, "Sending Responsible Organization"},
		{"PID", 0, false, ""},
		{"PID", 40, false, ""},
		{"ZPD", 1, false, ""},
	} {
		if got := fieldName(tt.segment, tt.n, tt.v25); got != tt.want {
			t.Errorf("fieldName(%s, %d, %v) = %q, want %q", tt.segment, tt.n, tt.v25, got, tt.want)
		}
	}
}
