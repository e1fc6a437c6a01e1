// Package smsp asks a provider of Spine Mini Services who a patient is: SOAP 1.1 with an
// ITK distribution envelope, over mutual TLS.
//
// A [Client] is a [pds.Tracer] for all five PDS mini services. It makes one HTTP call for
// each question and never repeats one itself; package pds has the decorators that retry,
// limit and break:
//
//	conf, err := smsp.TLSConfig("client.pem", "client.key", "spine-ca.pem", "")
//	if err != nil {
//		return err
//	}
//	c := &smsp.Client{
//		Endpoint: "https://smsp.example.nhs.uk/smsp/pds",
//		TLS:      conf,
//		ODS:      "X99",
//		System:   "mllp-adapter",
//	}
//	defer c.CloseIdleConnections()
//	res, err := pds.Retry(c, pds.Backoff{}).Trace(ctx, req)
//
// Certificates and authorities that are replaced while the service runs are taken by a
// Client whose LiveTLS returns another configuration for them.
//
// What it sends is cut from one template, envelope.xml, which etree fills once for each
// operation; what it receives is checked in the order of section 10 of the wire contract.
//
// Nothing that a provider says in words reaches an error or a Reason: those are fixed
// phrases of this package, because providers repeat the question in theirs.
package smsp
