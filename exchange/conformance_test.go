package exchange_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestConformancePage holds docs/conformance.md to the tests that it names.
func TestConformancePage(t *testing.T) {
	page, err := os.ReadFile("../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []int
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \|.*\| (?:passes|part: .+) \|$`).FindAllStringSubmatch(string(page), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, n)
	}
	var want []int
	for n := range 80 {
		want = append(want, n+1)
	}
	if !slices.Equal(rows, want) {
		t.Errorf("rows of the page: %v", rows)
	}
	folders := make(map[string]names)
	for _, m := range regexp.MustCompile("`([a-z0-9/]+) ((?:Test|Fuzz|Benchmark)[A-Za-z0-9]+)(?:/([^`]+))?`").FindAllStringSubmatch(string(page), -1) {
		folder, test, sub := m[1], m[2], m[3]
		if folders[folder].tests == nil {
			folders[folder] = testNames(t, filepath.Join("..", folder))
		}
		if !folders[folder].has(test, sub) {
			t.Errorf("%s has no %s %s", folder, test, sub)
		}
	}
	for _, literal := range folders["exchange"].literals {
		if row, _, ok := strings.Cut(literal, ":"); ok && strings.HasPrefix(row, "row ") && !strings.Contains(string(page), "`exchange TestRows/"+row+"`") {
			t.Errorf("the page does not name %s", row)
		}
	}
}

// names are the tests of a package and the texts in their files, of which the names of
// subtests are some.
type names struct {
	tests    map[string]bool
	literals []string
}

func (n names) has(test, sub string) bool {
	return n.tests[test] && (sub == "" || slices.ContainsFunc(n.literals, func(s string) bool { return strings.HasPrefix(s, sub) }))
}

func testNames(t *testing.T, folder string) names {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	n := names{tests: make(map[string]bool)}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.FuncDecl:
				if node.Recv == nil {
					n.tests[node.Name.Name] = true
				}
			case *ast.BasicLit:
				if text, err := strconv.Unquote(node.Value); err == nil && node.Kind == token.STRING {
					n.literals = append(n.literals, text)
				}
			}
			return true
		})
	}
	return n
}
