package smsp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"spinetrace/pds"
	"spinetrace/smsp"
)

// The provider here knows one patient and says so.
func ExampleClient() {
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, "../testdata/smsp/21-getNHSNumber-response-success.xml")
	}))
	defer provider.Close()

	c := &smsp.Client{Endpoint: provider.URL, ODS: "X99", System: "mllp-adapter"}
	defer c.CloseIdleConnections()
	res, err := c.Trace(context.Background(), pds.Request{
		Want: pds.Number,
		Who: pds.Demographics{
			Family:    "Quillfeather",
			Given:     "Marigold",
			BirthDate: pds.Date{Year: 1978, Month: 2, Day: 14},
			Sex:       pds.SexFemale,
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Outcome, res.NHSNumber.Spaced(), "printed as", res.NHSNumber)
	// Output: matched 999 410 2303 printed as redacted
}

func ExampleParseAuditIDs() {
	ids, err := smsp.ParseAuditIDs("1.2.826.0.1285.0.2.0.107=123456789012, urn:nhs-uk:identity:ods:{org}:SYS:{system}")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, id := range ids {
		fmt.Printf("type %q, URI %s\n", id.Type, id.URI)
	}
	// Output:
	// type "1.2.826.0.1285.0.2.0.107", URI 123456789012
	// type "", URI urn:nhs-uk:identity:ods:{org}:SYS:{system}
}
