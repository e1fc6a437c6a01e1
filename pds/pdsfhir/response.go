package pdsfhir

import (
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/google/fhir/go/fhirversion"
	"github.com/google/fhir/go/jsonformat"
	cpb "github.com/google/fhir/go/proto/google/fhir/proto/r4/core/codes_go_proto"
	bpb "github.com/google/fhir/go/proto/google/fhir/proto/r4/core/resources/bundle_and_contained_resource_go_proto"
	opb "github.com/google/fhir/go/proto/google/fhir/proto/r4/core/resources/operation_outcome_go_proto"
)

// A document is what a body says: exactly one of its fields is set.
type document struct {
	record *record
	found  *findings
	code   string // of an OperationOutcome; "" if it has none that can be told
	failed bool   // it is an OperationOutcome
}

// findings is the outcome of a search.
type findings struct {
	total  uint32
	hits   int
	record *record // of the only hit
	score  float64
	scored bool
}

var (
	errFHIR      = errors.New("not FHIR R4")
	errBundle    = errors.New("not a set of search results")
	errTotal     = errors.New("search total and entries differ")
	errNoPatient = errors.New("search result is not a patient")
)

// unmarshaller reads FHIR R4 in UTC: what has a zone of its own keeps it.
var unmarshaller = sync.OnceValues(func() (*jsonformat.Unmarshaller, error) {
	return jsonformat.NewUnmarshallerWithoutValidation("UTC", fhirversion.R4)
})

// decode reads a body. Errors are fixed phrases: those of google/fhir/go quote the body.
func decode(body []byte) (d document, err error) {
	resource, cut, err := cutOut(body)
	if err != nil {
		return document{}, err
	}
	whole, err := parse(cut)
	if err != nil {
		return document{}, err
	}
	switch resource {
	case "Patient":
		d.record, err = readRecord(whole.GetPatient())
	case "Bundle":
		d.found, err = readBundle(whole.GetBundle())
	default:
		d.failed, d.code = true, readOutcome(whole.GetOperationOutcome())
	}
	return d, err
}

// parse hands a body to google/fhir/go, which is not to take the process down with it.
func parse(cut []byte) (_ *bpb.ContainedResource, err error) {
	defer func() {
		if recover() != nil {
			err = errFHIR
		}
	}()
	u, err := unmarshaller()
	if err != nil {
		return nil, err
	}
	m, err := u.Unmarshal(cut)
	if err != nil {
		return nil, errFHIR
	}
	whole, ok := m.(*bpb.ContainedResource)
	if !ok {
		return nil, errFHIR
	}
	return whole, nil
}

func readBundle(b *bpb.Bundle) (*findings, error) {
	if b.GetType().GetValue() != cpb.BundleTypeCode_SEARCHSET || b.GetTotal() == nil {
		return nil, errBundle
	}
	f := &findings{total: b.GetTotal().GetValue(), hits: len(b.GetEntry())}
	if f.several() {
		return f, nil
	}
	if int(f.total) != f.hits {
		return nil, errTotal
	}
	if f.hits == 0 {
		return f, nil
	}
	hit := b.GetEntry()[0]
	patient := hit.GetResource().GetPatient()
	if patient == nil {
		return nil, errNoPatient
	}
	score, err := strconv.ParseFloat(hit.GetSearch().GetScore().GetValue(), 64)
	f.score, f.scored = score, err == nil && 0 <= score && score <= 1
	f.record, err = readRecord(patient)
	return f, err
}

// several tells whether more than one patient was found. Asking for one at most, the API
// says so in another way; a set of more is not expected.
func (f *findings) several() bool { return f.total > 1 || f.hits > 1 }

// readOutcome returns the code that decides. That the application has no ASID is the one
// thing that only the diagnostics tell.
func readOutcome(o *opb.OperationOutcome) string {
	if len(o.GetIssue()) == 0 {
		return ""
	}
	issue := o.GetIssue()[0]
	for _, c := range issue.GetDetails().GetCoding() {
		code := presentable(c.GetCode().GetValue())
		if code == "MISSING_VALUE" && strings.HasPrefix(issue.GetDiagnostics().GetValue(), "No ASID") {
			return noASID
		}
		if code != "" {
			return code
		}
	}
	return ""
}
