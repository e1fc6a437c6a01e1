package pdsfhirtest_test

import (
	"fmt"
	"net"
	"net/http"

	"spinetrace/pds/pdsfhir/pdsfhirtest"
	"spinetrace/pds/pdstest"
)

func ExampleNew() {
	s := pdsfhirtest.New(pdstest.People(), pdsfhirtest.Fault{Operation: "read", Do: "429:5", Times: 1})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := s.Start(ln, nil); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = s.Close() }() // nothing more is asked of it
	for range 2 {
		req, err := http.NewRequest(http.MethodGet, s.URL+"/Patient/9990000018", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		req.Header.Set("X-Request-ID", "60e0b220-8136-4ca5-ae46-1d97ef59d068")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer resp.Body.Close()
		fmt.Printf("%d %q %q\n", resp.StatusCode, resp.Header.Get("Retry-After"), resp.Header.Get("ETag"))
	}
	http.DefaultClient.CloseIdleConnections()
	// Output:
	// 429 "5" ""
	// 200 "" "W/\"1\""
}
