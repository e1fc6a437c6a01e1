package hl7v2

import (
	"errors"
	"testing"
	"time"
)

func TestParseDate(t *testing.T) {
	for in, want := range map[string]string{
		"19430519":                 "19430519",
		"194305":                   "194305",
		"1943":                     "1943",
		"20080920000000":           "20080920",
		"20080920000000.0000+0100": "20080920",
		"20080919233000-0100":      "20080919",
		"20000101+":                "20000101",
		"1943+0100":                "1943",
		"1926-08-11":               "19260811",
		"1926-08-11T00:00:00Z":     "19260811",
		"2025-05-05 23:23:32":      "20250505",
		" 19430519 ":               "19430519",
		"20240229":                 "20240229",
		"18500101":                 "18500101",
	} {
		d, err := ParseDate(in)
		if err != nil || d.String() != want {
			t.Errorf("ParseDate(%q) = %v, %v; want %v", in, d, err, want)
		}
		if d.Full() != (len(want) == 8) {
			t.Errorf("%v: Full() = %v", d, d.Full())
		}
	}
}

func TestParseDateNeverGuesses(t *testing.T) {
	for _, in := range []string{
		"", " ", "0", "194", "19430", "1943051", "196513121515", "20240230", "20230229", "19430500", "19430001", "194313", "194300",
		"00000101", "11/08/1926", "11081926", "12102008", "11-08-1926", "1926/08/11", "1926-8-11", "1926-08", "1943-0519",
		"19430519XYZ", "19430519^D", "May 1943", "\"\"", "1943051９", "-1943", "UNKNOWN", "+0100",
	} {
		if d, err := ParseDate(in); !errors.Is(err, ErrDate) || d != (Date{}) {
			t.Errorf("ParseDate(%q) = %v, %v; want ErrDate", in, d, err)
		}
	}
	if got := (Date{}).String(); got != "" {
		t.Errorf("zero Date = %q", got)
	}
}

func london(t testing.TB) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Skip("no time zones here")
	}
	return loc
}

func TestParseTime(t *testing.T) {
	for in, want := range map[string]string{
		"20250601101459":            "2025-06-01T10:14:59+01:00",
		"20251201101459":            "2025-12-01T10:14:59Z",
		"202506011014":              "2025-06-01T10:14:00+01:00",
		"2025060110":                "2025-06-01T10:00:00+01:00",
		"20250601":                  "2025-06-01T00:00:00+01:00",
		"202506":                    "2025-06-01T00:00:00+01:00",
		"2025":                      "2025-01-01T00:00:00Z",
		"20250601101459.1234":       "2025-06-01T10:14:59.1234+01:00",
		"20250601101459+0500":       "2025-06-01T10:14:59+05:00",
		"20250601101459.5-0330":     "2025-06-01T10:14:59.5-03:30",
		"202506011014+0000":         "2025-06-01T10:14:00Z",
		"20250601101459Z":           "2025-06-01T10:14:59Z",
		"20250601101459+":           "2025-06-01T10:14:59+01:00",
		"2025-05-05 23:23:32":       "2025-05-05T23:23:32+01:00",
		"2025-05-05T23:23:32.5":     "2025-05-05T23:23:32.5+01:00",
		"2025-05-05T23:23:32-05:00": "2025-05-05T23:23:32-05:00",
		"2025-05-05":                "2025-05-05T00:00:00+01:00",
	} {
		got, err := ParseTime(in, london(t))
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("ParseTime(%q) = %v, %v; want %v", in, got.Format(time.RFC3339Nano), err, want)
		}
	}
	if got, err := ParseTime("20250601", nil); err != nil || got.Location() != time.UTC {
		t.Errorf("without a location: %v, %v", got, err)
	}
	for _, in := range []string{
		"", "202", "20251", "20250230", "2025060125", "202506011060", "20250601101460", "20250601101459.", "20250601101459.x",
		"20250601101459.1234567890", "2025060110145999", "2025.5", "20250601101459+1", "20250601101459+9900", "20250601101459+01x0",
		"yesterday", "01/06/2025", "2025-06-01 10:14", "2025-06-01 1014:59", "-20250601", "20250601101459+0160",
	} {
		if got, err := ParseTime(in, time.UTC); !errors.Is(err, ErrDate) || !got.IsZero() {
			t.Errorf("ParseTime(%q) = %v, %v; want ErrDate", in, got, err)
		}
	}
}

func TestFormatTime(t *testing.T) {
	at := time.Date(2025, 6, 1, 9, 14, 59, 999, time.UTC)
	if got := FormatTime(at, london(t)); got != "20250601101459" {
		t.Errorf("FormatTime in London = %q", got)
	}
	if got := FormatTime(at, nil); got != "20250601091459" {
		t.Errorf("FormatTime in its own zone = %q", got)
	}
	if got := FormatTime(time.Time{}, nil); got != "" {
		t.Errorf("FormatTime of the zero time = %q", got)
	}
}

// TestMessageDate reads the forms of PID-7 that are seen, with the precision as
// a second component.
func TestMessageDate(t *testing.T) {
	for in, tt := range map[string]struct {
		want    string
		unusual bool
	}{
		"19430519":                 {"19430519", false},
		"19430519^D":               {"19430519", false},
		"194305^L":                 {"194305", false},
		"1943":                     {"1943", false},
		"19430519-0100":            {"19430519", false},
		"1943+0100":                {"1943", false},
		"20080920000000.0000+0100": {"20080920", false},
		"20000101+^D":              {"20000101", true},
		"1926-08-11":               {"19260811", true},
		"1926-08-11 00:00:00":      {"19260811", true},
		"11/08/1926":               {"", false},
		"\"\"":                     {"", false},
		"":                         {"", false},
	} {
		m := parse(t, msh+"\rPID|||||||"+in+"\r")
		d, err := m.Date(MustPath("PID-7"))
		if d.String() != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("Date of %q = %v, %v; want %v", in, d, err, tt.want)
		}
		if got := len(m.Warnings()) > 0; got != tt.unusual {
			t.Errorf("%q: warnings %v", in, m.Warnings())
		}
	}
}

func TestTimeFormats(t *testing.T) {
	summer := time.Date(2026, 7, 1, 12, 0, 0, 250e6, time.FixedZone("BST", 3600))
	for name, want := range map[string]string{
		"seconds": "20260701120000", "milliseconds": "20260701120000.250",
		"offset": "20260701120000+0100", "milliseconds,offset": "20260701120000.250+0100",
	} {
		f, err := ParseTimeFormat(name)
		if err != nil {
			t.Fatal(err)
		}
		answer := Reply(nil, Header{Time: summer, TimeFormat: f}).Bytes()
		m := parse(t, string(answer))
		if got := m.Get(MustPath("MSH-7")); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if again, err := ParseTime(want, summer.Location()); err != nil || !again.Truncate(time.Second).Equal(summer.Truncate(time.Second)) {
			t.Errorf("%s reads as %v, %v", want, again, err)
		}
	}
	if _, err := ParseTimeFormat("minutes"); err == nil {
		t.Error("minutes accepted")
	}
}
