package pdsfhir

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"spinetrace/pds"
)

// TestStatuses goes through the table of section 7, for reads and searches alike.
func TestStatuses(t *testing.T) {
	asid := object{"resourceType": "OperationOutcome", "issue": []object{{
		"details":     object{"coding": []object{{"code": "MISSING_VALUE"}}},
		"diagnostics": "No ASID found for application",
	}}}
	technical := func(class pds.Class, code string, retry bool) pds.Error {
		return pds.Error{Class: class, Code: code, Retry: retry}
	}
	for name, tt := range map[string]struct {
		status int
		body   string
		end    pds.Outcome
		code   string
		fault  pds.Error
	}{
		"TOO_MANY_MATCHES of old":   {status: 400, body: outcome("TOO_MANY_MATCHES").String(), end: pds.ManyMatches, code: "DEMOG-0007"},
		"INVALID_RESOURCE_ID":       {status: 400, body: outcome("INVALID_RESOURCE_ID").String(), end: pds.OldStyle, code: "DEMOG-0042"},
		"UNSUPPORTED_SERVICE":       {status: 400, body: outcome("UNSUPPORTED_SERVICE").String(), end: pds.Refused, code: "SMSP-0001"},
		"MISSING_VALUE":             {status: 400, body: outcome("MISSING_VALUE").String(), end: pds.Refused, code: "SMSP-0001"},
		"INVALID_VALUE":             {status: 400, body: outcome("INVALID_VALUE").String(), end: pds.Refused, code: "SMSP-0001"},
		"INVALID_SEARCH_DATA":       {status: 400, body: outcome("INVALID_SEARCH_DATA").String(), end: pds.Refused, code: "SMSP-0001"},
		"ADDITIONAL_PROPERTIES":     {status: 400, body: outcome("ADDITIONAL_PROPERTIES").String(), end: pds.Refused, code: "SMSP-0001"},
		"too many results":          {status: 403, body: outcome("INVALID_VALUE").String(), end: pds.Refused, code: "SMSP-0001"},
		"RESOURCE_NOT_FOUND":        {status: 404, body: outcome("RESOURCE_NOT_FOUND").String(), end: pds.NoMatch, code: "DEMOG-0001"},
		"INVALIDATED_RESOURCE":      {status: 404, body: outcome("INVALIDATED_RESOURCE").String(), end: pds.Invalidated, code: "DEMOG-0022"},
		"no ASID":                   {status: 400, body: asid.String(), fault: technical(pds.AccessDenied, "SMSP-0005", false)},
		"400, unheard of":           {status: 400, body: outcome("UNHEARD_OF").String(), fault: technical(pds.UnknownCode, "SMSP-0001", false)},
		"400, HTML":                 {status: 400, body: "<html>", fault: technical(pds.InputInvalid, "SMSP-0001", false)},
		"401":                       {status: 401, body: outcome("ACCESS_DENIED").String(), fault: technical(pds.AccessDenied, "SMSP-0005", false)},
		"403":                       {status: 403, body: outcome("ACCESS_DENIED").String(), fault: technical(pds.AccessDenied, "SMSP-0005", false)},
		"403, nothing":              {status: 403, fault: technical(pds.AccessDenied, "SMSP-0005", false)},
		"404, HTML":                 {status: 404, body: "<html>", fault: technical(pds.AccessDenied, "SMSP-9999", false)},
		"404, JSON of a gateway":    {status: 404, body: `{"fault":{"faultstring":"x"}}`, fault: technical(pds.AccessDenied, "SMSP-9999", false)},
		"404, another code":         {status: 404, body: outcome("NO_RECORD").String(), fault: technical(pds.AccessDenied, "SMSP-9999", false)},
		"405":                       {status: 405, fault: technical(pds.InputInvalid, "SMSP-0001", false)},
		"408":                       {status: 408, body: outcome("UNABLE_TO_CALL_SERVICE").String(), fault: technical(pds.SpineUnavailable, "SMSP-0004", true)},
		"429":                       {status: 429, body: outcome("TOO_MANY_REQUESTS").String(), fault: technical(pds.Busy, "SMSP-0004", true)},
		"500":                       {status: 500, body: outcome("UNKNOWN_ERROR").String(), fault: technical(pds.SpineError, "DEMOG-9999", true)},
		"500, nothing":              {status: 500, fault: technical(pds.SpineError, "DEMOG-9999", true)},
		"501":                       {status: 501, fault: technical(pds.ProviderError, "SMSP-9999", true)},
		"502":                       {status: 502, body: "<html>", fault: technical(pds.SpineUnavailable, "SMSP-0004", true)},
		"503":                       {status: 503, body: outcome("SERVICE_UNAVAILABLE").String(), fault: technical(pds.Busy, "SMSP-0004", true)},
		"504":                       {status: 504, fault: technical(pds.SpineUnavailable, "SMSP-0004", true)},
		"201":                       {status: 201, body: person().String(), fault: technical(pds.ResponseInvalid, "SMSP-0002", false)},
		"302":                       {status: 302, fault: technical(pds.InputInvalid, "SMSP-9999", false)},
		"a patient with status 404": {status: 404, body: person().String(), fault: technical(pds.AccessDenied, "SMSP-9999", false)},
		"a patient with status 500": {status: 500, body: person().String(), fault: technical(pds.SpineError, "DEMOG-9999", true)},
	} {
		t.Run(name, func(t *testing.T) {
			answer := reply{status: tt.status, body: tt.body, header: map[string]string{"Location": "/elsewhere"}}
			for _, want := range []pds.Want{pds.Verify, pds.Number} {
				a := &api{reads: []reply{answer}, searches: []reply{answer}}
				rec := &memo{}
				req := asking(want)
				req.Recorder = rec
				res, err := newClient(t, a).Trace(t.Context(), req)
				if tt.end == 0 {
					tt.fault.Status = tt.status
					wantError(t, err, tt.fault)
				} else if err != nil || res.Outcome != tt.end || res.Code != tt.code {
					t.Errorf("got %v, %s, %v; want %v, %s", res.Outcome, res.Code, err, tt.end, tt.code)
				}
				if last := rec.last(t); last.Status != tt.status || last.Code != tt.code+tt.fault.Code || string(last.Body) != tt.body || len(rec.calls) != 1 {
					t.Errorf("recorded status %d, code %q, %d bytes, %d calls", last.Status, last.Code, len(last.Body), len(rec.calls))
				}
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		value  string
		want   time.Duration
	}{
		"seconds":                 {429, "5", 5 * time.Second},
		"a date":                  {503, testNow.Add(9 * time.Second).Format(http.TimeFormat), 9 * time.Second},
		"none":                    {429, "", 0},
		"nonsense":                {503, "soon", 0},
		"not where it is no help": {403, "5", 0},
	} {
		t.Run(name, func(t *testing.T) {
			a := &api{reads: []reply{{status: tt.status, header: map[string]string{"Retry-After": tt.value}}}}
			_, err := newClient(t, a).Trace(t.Context(), asking(pds.Verify))
			if fault, ok := errors.AsType[*pds.Error](err); !ok || fault.RetryAfter != tt.want {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A status says what it says whatever became of the body, unless a code would have decided and
// may be there the next time.
func TestBodiesThatCannotBeReadBehindAStatus(t *testing.T) {
	refused := map[string]string{"Content-Encoding": "br", "Retry-After": "7"}
	broken := map[string]string{"Content-Length": "500", "Retry-After": "7"}
	gone := pds.Error{Class: pds.SpineUnavailable, Code: "SMSP-0004", Retry: true}
	for status, want := range map[int]struct{ refused, broken pds.Error }{
		400: {pds.Error{Class: pds.InputInvalid, Code: "SMSP-0001"}, gone},
		401: {pds.Error{Class: pds.AccessDenied, Code: "SMSP-0005"}, pds.Error{Class: pds.AccessDenied, Code: "SMSP-0005"}},
		404: {pds.Error{Class: pds.AccessDenied, Code: "SMSP-9999"}, gone},
		429: {
			pds.Error{Class: pds.Busy, Code: "SMSP-0004", Retry: true, RetryAfter: 7 * time.Second},
			pds.Error{Class: pds.Busy, Code: "SMSP-0004", Retry: true, RetryAfter: 7 * time.Second},
		},
		503: {
			pds.Error{Class: pds.Busy, Code: "SMSP-0004", Retry: true, RetryAfter: 7 * time.Second},
			pds.Error{Class: pds.Busy, Code: "SMSP-0004", Retry: true, RetryAfter: 7 * time.Second},
		},
	} {
		for _, tt := range []struct {
			reason string
			header map[string]string
			want   pds.Error
		}{
			{"content encoding not supported", refused, want.refused},
			{"connection closed early", broken, want.broken},
		} {
			c := newClient(t, &silent{reply{status: status, body: "{}", header: tt.header}})
			m := &memo{}
			_, err := c.Trace(t.Context(), asking(pds.Verify, func(r *pds.Request) { r.Recorder = m }))
			tt.want.Status = status
			wantError(t, err, tt.want)
			if a := m.last(t); !strings.HasSuffix(a.Reason, tt.reason) {
				t.Errorf("%d: recorded %q, want %q in it", status, a.Reason, tt.reason)
			}
		}
	}
}
