package smsp

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beevik/etree"

	"spinetrace/pds"
)

// schemaOf names the message type of each operation's request (section 1).
var schemaOf = map[pds.Want]string{
	pds.Verify:          "QUPA_MT000001GB01",
	pds.Number:          "QUPA_MT000002GB01",
	pds.DetailsByNumber: "QUPA_MT000003GB01",
	pds.DetailsBySearch: "QUPA_MT000004GB01",
	pds.Details:         "QUPA_MT000005GB01",
}

// TestRequestsAreValid checks both what section 15 asks for: the whole message, and its
// payload alone, whose misspelt root the whole would pass.
func TestRequestsAreValid(t *testing.T) {
	schemas := filepath.Join(specDir(t), "data", "smsp-schemas")
	if _, err := exec.LookPath("xmllint"); err != nil {
		t.Skip("xmllint is not installed")
	}
	dir := t.TempDir()
	whole, payload := make(map[pds.Want][]string), make(map[pds.Want][]string)
	add := func(c *Client, req pds.Request) {
		file := filepath.Join(dir, fmt.Sprintf("%v-%d.xml", req.Want, len(whole[req.Want])))
		body := ask(t, c, req)
		writeFile(t, file, body)
		whole[req.Want] = append(whole[req.Want], file)
		doc := etree.NewDocument()
		if err := doc.ReadFromBytes(body); err != nil {
			t.Fatal(err)
		}
		alone, err := etree.NewDocumentWithRoot(doc.FindElement("//itk:payload/*").Copy()).WriteToBytes()
		if err != nil {
			t.Fatal(err)
		}
		file += ".payload"
		writeFile(t, file, alone)
		payload[req.Want] = append(payload[req.Want], file)
	}
	for _, req := range variants() {
		add(&Client{Endpoint: "https://smsp.example.nhs.uk/pds", ODS: "X99"}, req)
		add(&Client{
			Endpoint: "https://smsp.example.nhs.uk/pds", ODS: "X99",
			AuditIDs: []AuditID{
				{"1.2.826.0.1285.0.2.0.65", "{user}"}, {"1.2.826.0.1285.0.2.0.67", "{user}"},
				{"", "urn:x:{org}"}, {"", "urn:x:{system}"},
			},
		}, req)
	}
	for want, schema := range schemaOf {
		xmllint(t, schemas, "harness/soap-"+schema+".xsd", whole[want])
		xmllint(t, schemas, "pds/Schemas/"+schema+".xsd", payload[want])
	}
}

// ask returns the bytes that a client sends.
func ask(t *testing.T, c *Client, req pds.Request) []byte {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	req = tidy(req)
	if res, ok := c.check(req); !ok {
		t.Fatalf("%v refused: %s", req.Want, res.Reason)
	}
	return c.question(req).call.Body
}

func writeFile(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func xmllint(t *testing.T, dir, schema string, files []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "xmllint", append([]string{"--noout", "--nonet", "--schema", schema}, files...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", schema, err, invalidLines(string(out)))
	}
}

func invalidLines(out string) string {
	var lines []string
	for line := range strings.Lines(out) {
		if !strings.HasSuffix(line, "validates\n") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
