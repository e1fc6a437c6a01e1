package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mayImport says which of our packages a package may import, outside its tests. A package
// that is not listed fails the test: whoever adds one decides here what it may know.
var mayImport = map[string][]string{
	"hl7v2":           nil,
	"mllp":            nil,
	"pds":             nil,
	"store":           nil,
	"migrations":      nil,
	"notify":          nil,
	"testdata":        nil,
	"docs":            nil,
	"internal/pgtest": nil,
	"scripts/gotest":  nil,
	"scripts/journal": {"exchange", "hl7v2", "pds", "pds/pdstest", "smsp", "smsp/smsptest", "store", "store/postgres", "store/sqlite"},
	"pds/pdshttp":     {"pds"},
	"smsp":            {"pds", "pds/pdshttp"},
	"pds/pdsfhir":     {"pds", "pds/pdshttp"},
	"pds/pdstest":     {"pds", "testdata"},

	"pds/pdstest/simulator":   {"pds", "pds/pdstest"},
	"smsp/smsptest":           {"pds", "pds/pdstest", "pds/pdstest/simulator", "smsp"},
	"pds/pdsfhir/pdsfhirtest": {"pds", "pds/pdstest", "pds/pdstest/simulator"},

	"store/postgres":  {"store", "migrations"},
	"store/sqlite":    {"store", "migrations"},
	"store/storetest": {"store"},
	"exchange":        {"hl7v2", "pds", "store"},
	"auditevent":      {"store"},
	"cmd/spinetrace": {
		"auditevent", "exchange", "hl7v2", "migrations", "mllp", "notify", "pds", "pds/pdshttp", "pds/pdsfhir", "pds/pdsfhir/pdsfhirtest",
		"pds/pdstest", "pds/pdstest/simulator", "smsp", "smsp/smsptest", "store", "store/postgres", "store/sqlite", "testdata",
	},
}

// mayTestWith is what tests may import beyond that: suites, simulators, a database server.
var mayTestWith = []string{
	"pds", "pds/pdstest", "pds/pdstest/simulator", "smsp/smsptest", "pds/pdsfhir/pdsfhirtest",
	"store/storetest", "internal/pgtest", "testdata", "docs",
}

// mayDrive is what the tests of a package from outside, package x_test, may import beyond
// that: the parts that it works between.
var mayDrive = map[string][]string{
	"exchange":                {"mllp", "smsp", "store/sqlite"},
	"pds/pdsfhir/pdsfhirtest": {"pds/pdsfhir"},
}

// neverReach are foreign packages that would give a layer away.
var neverReach = map[string][]string{
	"hl7v2": {"net/", "database/sql", "github.com/"},
	"mllp":  {"net/http", "database/sql", "github.com/"},
	"pds":   {"net/http", "database/sql", "github.com/beevik", "github.com/prometheus", "github.com/google/fhir"},
	"store": {"net/http", "database/sql", "github.com/lib", "modernc.org", "github.com/prometheus"},
	"smsp":  {"database/sql", "github.com/lib", "modernc.org", "github.com/prometheus", "github.com/google/fhir"},

	"notify": {"database/sql", "github.com/lib", "modernc.org", "github.com/prometheus", "github.com/google"},

	"auditevent": {"net/http", "database/sql", "github.com/lib", "modernc.org", "github.com/beevik", "github.com/prometheus"},

	"pds/pdsfhir": {"database/sql", "github.com/lib", "modernc.org", "github.com/prometheus", "github.com/beevik"},
	// A simulator must not share its client's mistakes.
	"pds/pdsfhir/pdsfhirtest": {"github.com/google/fhir"},

	"cmd/spinetrace": {"github.com/google/fhir"},

	"exchange": {"net/http", "database/sql", "github.com/lib", "modernc.org", "github.com/beevik", "github.com/prometheus"},
}

// listed is what the test needs of `go list -json`.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

const module = "spinetrace/"

func (l listed) name() string { return strings.TrimPrefix(l.ImportPath, module) }

// ours returns those of paths that are packages of this module.
func ours(paths []string) []string {
	var names []string
	for _, p := range paths {
		if name, ok := strings.CutPrefix(p, module); ok {
			names = append(names, name)
		}
	}
	return names
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	// -e: a package that does not compile yet has imports all the same.
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, l)
	}
}

func TestImports(t *testing.T) {
	packages := listPackages(t)
	if len(packages) < 8 {
		t.Fatalf("go list found %d packages: too few to be all", len(packages))
	}
	for _, l := range packages {
		allowed, known := mayImport[l.name()]
		if !known {
			t.Errorf("%s is not in the table of imports", l.name())
			continue
		}
		for _, name := range ours(l.Imports) {
			if !slices.Contains(allowed, name) {
				t.Errorf("%s imports %s", l.name(), name)
			}
		}
		mayTest := slices.Concat(allowed, mayTestWith, []string{l.name()})
		for _, name := range ours(l.TestImports) {
			if !slices.Contains(mayTest, name) {
				t.Errorf("a test of %s imports %s", l.name(), name)
			}
		}
		for _, name := range ours(l.XTestImports) {
			if !slices.Contains(mayTest, name) && !slices.Contains(mayDrive[l.name()], name) {
				t.Errorf("a test of %s from outside imports %s", l.name(), name)
			}
		}
		checkForeign(t, l)
	}
}

// TestSimulatorsStayOutOfServe: what invents patients may be reached from the demo, the
// simulator and the load generator, and from nothing that serves real ones.
func TestSimulatorsStayOutOfServe(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || slices.Contains([]string{"demo.go", "simulate.go", "load.go"}, name) {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			if path := strings.Trim(spec.Path.Value, `"`); strings.HasSuffix(path, "test") || strings.HasSuffix(path, "/testdata") {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}

func checkForeign(t *testing.T, l listed) {
	for _, forbidden := range neverReach[l.name()] {
		for _, path := range l.Imports {
			if strings.HasPrefix(path, forbidden) {
				t.Errorf("%s imports %s", l.name(), path)
			}
		}
	}
}
