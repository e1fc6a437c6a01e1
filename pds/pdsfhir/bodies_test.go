package pdsfhir

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spinetrace/pds"
)

// A body is what must come of one published body, when it is asked about whoever is in it:
// by number if it is one patient, else by a search.
type body struct {
	status  int // default 200
	outcome pds.Outcome
	class   pds.Class
	code    string
}

var (
	matched  = body{outcome: pds.Matched, code: "SMSP-0000"}
	untraced = body{outcome: pds.NoMatch, code: "DEMOG-0001"}
	several  = body{outcome: pds.ManyMatches, code: "DEMOG-0007"}
	unproved = body{outcome: pds.NotVerified, code: "DEMOG-0040"}
	unusable = body{class: pds.ResponseInvalid, code: "SMSP-0002"}
	refusal  = body{status: 400, outcome: pds.Refused, code: "SMSP-0001"}
	unknown  = body{status: 400, class: pds.UnknownCode, code: "SMSP-0001"}
	denied   = body{status: 401, class: pds.AccessDenied, code: "SMSP-0005"}
)

// bodies has every published body. The comments say what decides where it is not plain.
var bodies = map[string]body{
	"functional-test-responses/empty_authorization_header.json":   denied,
	"functional-test-responses/empty_x-request_id.json":           refusal,
	"functional-test-responses/invalid_access_token.json":         denied,
	"functional-test-responses/invalid_urid_header.json":          refusal,
	"functional-test-responses/invalid_x-request_id.json":         refusal,
	"functional-test-responses/missing_authorization_header.json": denied,
	"functional-test-responses/missing_urid_header.json":          refusal,
	"functional-test-responses/missing_x-request_id.json":         refusal,
	"functional-test-responses/too_many_matches.json":             several,
	"functional-test-responses/valid_patient_post_response.json":  unusable, // a placeholder for a number

	// Shapes are not resources, or hold patterns where the values go.
	"json-shapes/Address.json":                                         unusable,
	"json-shapes/Contact.json":                                         unusable,
	"json-shapes/ContactPoint.json":                                    unusable,
	"json-shapes/GeneralPractitionerReference.json":                    unusable,
	"json-shapes/HumanName.json":                                       unusable,
	"json-shapes/ManagingOrganizationReference.json":                   unusable,
	"json-shapes/Meta.json":                                            unusable,
	"json-shapes/Patient.json":                                         unusable,
	"json-shapes/PatientNhsNumberAllocation.json":                      unusable,
	"json-shapes/Period.json":                                          unusable,
	"json-shapes/SensitivePatient.json":                                unusable,
	"json-shapes/codeable/ContactRelationship.json":                    unusable,
	"json-shapes/extensions/OtherContactSystem.json":                   unusable,
	"json-shapes/searchSchemas/codingSchema.json":                      unusable,
	"json-shapes/searchSchemas/patientCoverageBundle.json":             unusable,
	"json-shapes/searchSchemas/patientCoverageResultEntry.json":        unusable,
	"json-shapes/searchSchemas/patientSearchBundle.json":               unusable,
	"json-shapes/searchSchemas/patientSearchResultEntry.json":          unusable,
	"json-shapes/searchSchemas/relatedPersonSearchBundle.json":         unusable,
	"json-shapes/searchSchemas/relatedPersonSearchResultEntry.json":    unusable,
	"json-shapes/searchSchemas/sensitivePatientSearchBundle.json":      unusable,
	"json-shapes/searchSchemas/sensitivePatientSearchResultEntry.json": unusable,

	"sandbox-mocks/Minimal_Patient.json":                      unproved, // no birth date
	"sandbox-mocks/Minimal_PatientSearch.json":                untraced,
	"sandbox-mocks/Patient-Jayne-Smyth.json":                  matched,
	"sandbox-mocks/Patient.json":                              matched,
	"sandbox-mocks/PatientCompoundName.json":                  unusable, // the number fails Modulus 11
	"sandbox-mocks/PatientSearch-Jayne-Smyth.json":            untraced, // score 0.75
	"sandbox-mocks/PatientSearch.json":                        untraced, // score 0.75
	"sandbox-mocks/Personal_Details_RelatedPersonBundle.json": unusable, // of an operation never called
	"sandbox-mocks/Referenced_RelatedPersonBundle.json":       unusable,
	"sandbox-mocks/RelatedPersonBundle.json":                  unusable,
	"sandbox-mocks/Sensitive_Patient.json":                    matched,
	"sandbox-mocks/Sensitive_PatientSearch.json":              untraced, // score 0.75

	"stubs/errorResponses/ACCESS_DENIED.json":         {status: 403, class: pds.AccessDenied, code: "SMSP-0005"},
	"stubs/errorResponses/ADDITIONAL_PROPERTIES.json": refusal,
	"stubs/errorResponses/INVALIDATED_RESOURCE.json":  {status: 404, outcome: pds.Invalidated, code: "DEMOG-0022"},
	"stubs/errorResponses/INVALID_METHOD.json":        {status: 403, class: pds.AccessDenied, code: "SMSP-0005"},
	"stubs/errorResponses/INVALID_RESOURCE_ID.json":   {status: 400, outcome: pds.OldStyle, code: "DEMOG-0042"},
	"stubs/errorResponses/INVALID_SEARCH_DATA.json":   refusal,
	"stubs/errorResponses/INVALID_VALUE.json":         refusal,
	"stubs/errorResponses/MISSING_VALUE.json":         refusal,
	"stubs/errorResponses/NOT_SUPPORTED_SEARCH.json":  unusable, // the sandbox has no answer
	"stubs/errorResponses/RESOURCE_NOT_FOUND.json":    {status: 404, outcome: pds.NoMatch, code: "DEMOG-0001"},
	"stubs/errorResponses/UNSUPPORTED_SERVICE.json":   refusal,
	// These answer operations never called.
	"stubs/errorResponses/FORBIDDEN_UPDATE.json":                       {status: 403, class: pds.AccessDenied, code: "SMSP-0005"},
	"stubs/errorResponses/INSERT_BIRTH_DEATH_STATUS_INCONSISTENT.json": unknown,
	"stubs/errorResponses/INVALID_CREATE.json":                         unknown,
	"stubs/errorResponses/INVALID_UPDATE.json":                         unknown,
	"stubs/errorResponses/PRECONDITION_FAILED.json":                    {status: 412, class: pds.InputInvalid, code: "SMSP-0001"},
	"stubs/errorResponses/RESOURCE_VERSION_MISMATCH.json":              {status: 409, class: pds.InputInvalid, code: "SMSP-0001"},
	"stubs/errorResponses/TOO_FEW_VALUES_SUBMITTED.json":               unknown,
	"stubs/errorResponses/TOO_MANY_VALUES_SUBMITTED.json":              unknown,

	"stubs/patientResponses/patient_5900046192.json": matched,
	"stubs/patientResponses/patient_5900056597.json": matched,
	"stubs/patientResponses/patient_5900057208.json": matched,
	"stubs/patientResponses/patient_5900059073.json": matched,
	"stubs/patientResponses/patient_5900059332.json": matched,
	"stubs/patientResponses/patient_9000000009.json": matched,
	"stubs/patientResponses/patient_9000000025.json": matched,
	"stubs/patientResponses/patient_9000000033.json": unproved,
	"stubs/patientResponses/patient_9693632109.json": matched,
	"stubs/patientResponses/patient_9732110317.json": matched,
	"stubs/patientResponses/patient_9733162043.json": matched,
	"stubs/patientResponses/patient_9736363015.json": matched,
	"stubs/patientResponses/patient_9736363023.json": matched,
	"stubs/patientResponses/patient_9736363066.json": matched,
	"stubs/patientResponses/patient_9736363074.json": matched,

	"stubs/searchResponses/Minimal_Patient.json":                    unproved,
	"stubs/searchResponses/Minimal_PatientSearch.json":              untraced,
	"stubs/searchResponses/Patient-Jayne-Smyth.json":                matched,
	"stubs/searchResponses/Patient.json":                            matched,
	"stubs/searchResponses/PatientCompoundName.json":                unusable,
	"stubs/searchResponses/PatientSearch-Jayne-Smyth.json":          untraced,
	"stubs/searchResponses/PatientSearch.json":                      untraced,
	"stubs/searchResponses/Sensitive_Patient.json":                  matched,
	"stubs/searchResponses/Sensitive_PatientSearch.json":            untraced,
	"stubs/searchResponses/TOO_MANY_MATCHES.json":                   several,
	"stubs/searchResponses/bill_garton_searchset.json":              matched,
	"stubs/searchResponses/countrycode_mobile_searchset.json":       matched,
	"stubs/searchResponses/cuff_superseded_searchset.json":          matched, // the survivor, silently
	"stubs/searchResponses/dateOfDeath_searchset.json":              matched,
	"stubs/searchResponses/fuzzy_multimatch_searchset.json":         several,
	"stubs/searchResponses/fuzzy_single_searchset.json":             matched,
	"stubs/searchResponses/general_practitioner_searchset.json":     matched,
	"stubs/searchResponses/historic_email_searchset.json":           matched,
	"stubs/searchResponses/jackie_jones_searchset.json":             matched,
	"stubs/searchResponses/john_paul_smith_searchset.json":          unusable, // the number fails Modulus 11
	"stubs/searchResponses/knap_kathy_exact_match.json":             matched,
	"stubs/searchResponses/martha_massam_searchset.json":            matched,
	"stubs/searchResponses/med_rowenad_searchset.json":              untraced, // score 0.6806
	"stubs/searchResponses/mock_multiple_searchset.json":            several,
	"stubs/searchResponses/mock_single_searchset.json":              matched,
	"stubs/searchResponses/multimatch_phoneAndEmail_searchset.json": several,
	"stubs/searchResponses/other_givenName.json":                    matched,
	"stubs/searchResponses/pauline_attison_searchset.json":          several,
	"stubs/searchResponses/postalcode_wildcard_searchset.json":      several,
	"stubs/searchResponses/rodney_godsoe_searchset.json":            matched,
	"stubs/searchResponses/search_patient_9000000009.json":          matched,
	"stubs/searchResponses/search_patient_9000000017.json":          matched,
	"stubs/searchResponses/search_patient_9000000025.json":          matched,
	"stubs/searchResponses/youds_searchset.json":                    several,
}

var bodyFolders = []string{"functional-test-responses", "json-shapes", "sandbox-mocks", "stubs"}

// published returns the folder of the published bodies, or skips.
func published(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SPINETRACE_SPEC_DIR")
	if dir == "" {
		t.Skip("SPINETRACE_SPEC_DIR is not set: the published bodies are not at hand")
	}
	return filepath.Join(dir, "data", "pds-fhir")
}

func TestReadsEveryPublishedBody(t *testing.T) {
	root := published(t)
	seen := 0
	for _, folder := range bodyFolders {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			seen++
			t.Run(filepath.ToSlash(name), func(t *testing.T) { readPublished(t, path, filepath.ToSlash(name)) })
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen != len(bodies) {
		t.Errorf("%d bodies found, %d in the table", seen, len(bodies))
	}
}

func readPublished(t *testing.T, path, name string) {
	want, listed := bodies[name]
	if !listed {
		t.Fatal("not in the table")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	answer := reply{status: want.status, body: string(text)}
	rec := &memo{}
	req := aboutThem(text)
	req.Recorder = rec
	c := newClient(t, &api{reads: []reply{answer}, searches: []reply{answer}})
	got, err := c.Trace(t.Context(), req)
	if got.Outcome != want.outcome || pds.ClassOf(err) != want.class {
		t.Errorf("got %v (%s), %v; want %v, class %v", got.Outcome, got.Reason, err, want.outcome, want.class)
	}
	if a := rec.last(t); a.Code != want.code || string(a.Body) != string(text) || got.Outcome != 0 && got.Code != want.code {
		t.Errorf("code %q, recorded %q, want %q; or the body recorded is another", got.Code, a.Code, want.code)
	}
}

// aboutThem asks about the first patient of a body, read without this package.
func aboutThem(text []byte) pds.Request {
	type patient struct {
		ID, BirthDate, Gender string
		Name                  []struct {
			Given  []string
			Family string
		}
	}
	var b struct {
		ResourceType string
		patient
		Entry []struct{ Resource patient }
	}
	_ = json.Unmarshal(text, &b) // shapes have other kinds of values
	who := b.patient
	if len(b.Entry) > 0 {
		who = b.Entry[0].Resource
	}
	req := asking(pds.Number)
	req.Who.Sex = pds.SexNotKnown
	if d, err := pds.ParseDate(strings.ReplaceAll(who.BirthDate, "-", "")); err == nil {
		req.Who.BirthDate = d
	}
	if len(who.Name) > 0 && len(who.Name[0].Given) > 0 && who.Name[0].Family != "" {
		req.Who.Given, req.Who.Family = who.Name[0].Given[0], who.Name[0].Family
	}
	if b.ResourceType != "Bundle" && !strings.Contains(string(text), "TOO_MANY") {
		req.Want, req.NHSNumber = pds.DetailsByNumber, marigold
	}
	if n, err := pds.ParseNHSNumber(who.ID); err == nil && req.Want == pds.DetailsByNumber {
		req.NHSNumber = n
	}
	return req
}
