package main

import (
	"net/url"
	"path/filepath"
	"strings"
)

// simulatedBackend is what the demo has to know of a simulator.
type simulatedBackend struct {
	url func(s *simulation) string
	// asked lists what was asked so far and what was answered.
	asked func(s *simulation) []string
	// settings are those that point a service at it.
	settings func(s *simulation) [][2]string
	// configure makes the same settings.
	configure func(s *simulation, cfg *config, u *url.URL)
}

var simulatedBackends = map[string]simulatedBackend{
	"smsp": {
		url: func(s *simulation) string { return s.smsp.URL },
		asked: func(s *simulation) (list []string) {
			for _, r := range s.smsp.Requests() {
				list = append(list, r.Operation+" "+r.Answer)
			}
			return list
		},
		settings:  func(s *simulation) [][2]string { return [][2]string{{"SMSP_URL", s.smsp.URL}} },
		configure: func(_ *simulation, cfg *config, u *url.URL) { cfg.SMSPURL = URL{u} },
	},
	"pds": {
		url: func(s *simulation) string { return s.fhir.URL },
		asked: func(s *simulation) (list []string) {
			for _, r := range s.fhir.Requests() {
				list = append(list, strings.TrimPrefix(r.Operation+" "+r.Answer, "token ")) // "token token"
			}
			return list
		},
		settings: func(s *simulation) [][2]string {
			return append([][2]string{{"PDS_URL", s.fhir.URL}}, s.settings...)
		},
		configure: func(s *simulation, cfg *config, u *url.URL) {
			cfg.PDSURL, cfg.PDSAPIKey, cfg.PDSKeyID = URL{u}, Secret{simulatedKey}, simulatedKid
			cfg.PDSKeyFile = filepath.Join(s.credentials, "private-key.pem")
		},
	},
}

func (d *demonstration) simulated() simulatedBackend { return simulatedBackends[d.backend] }

// simulate starts the simulator, by the very code that the command simulate runs.
func (d *demonstration) simulate() error {
	population, err := readPopulation("")
	if err != nil {
		return err
	}
	d.sim = &simulation{itk: off, pds: off, population: population, credentials: filepath.Join(d.dir, "credentials")}
	const free = "127.0.0.1:0"
	if d.backend == "pds" {
		d.sim.pds = free
	} else {
		d.sim.itk = free
	}
	return d.sim.start()
}

// config are the settings: the defaults, except for what is of this run.
func (d *demonstration) config() (config, error) {
	cfg, err := defaultConfig()
	if err != nil {
		return cfg, err
	}
	u, err := url.Parse(d.simulated().url(d.sim))
	if err != nil {
		return cfg, err
	}
	cfg.ODS, cfg.Backend = "DEMO", d.backend
	d.simulated().configure(d.sim, &cfg, u)
	cfg.PAS.Addr = d.pas.addr()
	cfg.MLLPAddr, cfg.AdminAddr = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Store = Secret{"sqlite:" + filepath.Join(d.dir, "spinetrace.db")}
	return cfg, nil
}
