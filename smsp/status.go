package smsp

import "spinetrace/pds"

// A treatment is what becomes of a response by its HTTP status alone.
type treatment struct {
	read  bool // an answer or a fault may be in it
	fault bool // a fault may be in it; the rest holds if there is none
	class pds.Class
	retry bool
}

// statuses is the table of section 3: single statuses, then the hundreds for the others.
var statuses = map[int]treatment{
	200: {read: true},
	202: {class: pds.ResponseInvalid}, // the asynchronous pattern, which these services do not have
	401: {class: pds.AccessDenied},
	403: {class: pds.AccessDenied},
	429: {class: pds.Busy, retry: true},
	500: {fault: true, class: pds.ProviderError, retry: true},
	503: {class: pds.Busy, retry: true},

	3: {class: pds.InputInvalid},
	4: {class: pds.InputInvalid},
	5: {class: pds.ProviderError, retry: true},
}

// saysAll tells whether a response came and is no answer, whatever its body may be.
func saysAll(status int) bool { return status != 0 && !treatmentOf(status).read }

func treatmentOf(status int) treatment {
	for _, key := range []int{status, status / 100} {
		if t, ok := statuses[key]; ok {
			return t
		}
	}
	return treatment{class: pds.ResponseInvalid}
}
