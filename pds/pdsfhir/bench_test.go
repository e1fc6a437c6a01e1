package pdsfhir

import (
	"testing"

	"spinetrace/pds"
)

// full is a record in which much is said.
func full() object {
	return person(object{
		"deceasedDateTime":    "2010-10-22T00:00:00+00:00",
		"telecom":             []object{{"system": "phone", "use": "home", "value": "01134960123"}, {"system": "email", "value": "m@example.org"}},
		"generalPractitioner": []object{{"type": "Organization", "identifier": object{"value": "Z99901"}}},
		"extension": []object{{"url": urlDeathStatus, "extension": []object{
			{"url": "deathNotificationStatus", "valueCodeableConcept": object{"coding": []object{{"code": "2"}}}},
		}}},
		"contact": []object{{"telecom": []object{{"system": "phone", "value": "01134960555"}}}},
	})
}

// BenchmarkDecode reads one Patient body: the members that matter cut out, google/fhir/go,
// and the mapping of every field.
func BenchmarkDecode(b *testing.B) {
	body := []byte(full().String())
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		d, err := decode(body)
		if err != nil {
			b.Fatal(err)
		}
		d.record.patient(testNow)
	}
}

// BenchmarkCutOut is the first part of that.
func BenchmarkCutOut(b *testing.B) {
	body := []byte(full().String())
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := cutOut(body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTrace verifies a number with a loopback server without TLS and tokens that has
// the answer ready, from as many goroutines as there are processors, client and server
// included.
func BenchmarkTrace(b *testing.B) {
	c := newClient(b, &silent{full().reply()})
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := c.Trace(b.Context(), asking(pds.Verify)); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkAssertion signs one assertion with a key of 2048 bits.
func BenchmarkAssertion(b *testing.B) {
	c := &Client{BaseURL: "https://pds.example.nhs.uk/FHIR/R4", APIKey: "k", Key: testKey(), KeyID: "1", ODS: "X99"}
	if err := c.Check(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.assertion("0b2f6d3e-57a5-4a4c-9a3e-0d8f4a1c2b3d"); err != nil {
			b.Fatal(err)
		}
	}
}
