package main

import (
	"maps"
	"testing"

	"spinetrace/pds/pdsfhir"
	"spinetrace/pds/pdsfhir/pdsfhirtest"
	"spinetrace/pds/pdstest"
	"spinetrace/pds/pdstest/simulator"
	"spinetrace/smsp/smsptest"
)

// provider is the back end beside the service: a simulator of either kind.
type provider interface {
	Asked() int // calls
	SetFaults(faults ...simulator.Fault)

	settings() map[string]string // of a service that asks it
	questions() []question       // the last of them
}

// question is a call as the provider saw it.
type question struct {
	id      string // that the journal has as well
	problem string // why it cannot be read
}

// providers start the simulators by what BACKEND calls them.
var providers = map[string]func(*testing.T, *pdstest.Population, ...simulator.Fault) provider{
	"smsp": func(t *testing.T, people *pdstest.Population, faults ...simulator.Fault) provider {
		return miniServices{smsptest.NewServer(t, people, faults...)}
	},
	"pds": func(t *testing.T, people *pdstest.Population, faults ...simulator.Fault) provider {
		return fhirAPI{pdsfhirtest.NewServer(t, people, faults...)}
	},
}

type miniServices struct{ *smsptest.Server }

func (s miniServices) settings() map[string]string {
	return map[string]string{"BACKEND": "smsp", "SMSP_URL": s.URL}
}

func (s miniServices) questions() (all []question) {
	for _, r := range s.Requests() {
		all = append(all, question{r.MessageID, r.Problem})
	}
	return all
}

type fhirAPI struct{ *pdsfhirtest.Server }

// settings lift the limit of calls a second: the tests are in a hurry.
func (s fhirAPI) settings() map[string]string {
	return map[string]string{"BACKEND": "pds", "PDS_URL": s.URL, "PDS_TOKEN_URL": pdsfhir.NoTokens, "BACKEND_RATE": "0"}
}

func (s fhirAPI) questions() (all []question) {
	for _, r := range s.Requests() {
		q := question{id: r.RequestID}
		if r.Operation == "" {
			q.problem = "no such path"
		}
		all = append(all, q)
	}
	return all
}

// beside are the settings of a service that asks a provider: those of serveSettings and more.
func beside(dsn string, p provider, more map[string]string) map[string]string {
	set := p.settings()
	maps.Copy(set, more)
	return serveSettings(dsn, "", set)
}
