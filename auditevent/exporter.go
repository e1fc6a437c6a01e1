package auditevent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/fhir/go/fhirversion"
	"github.com/google/fhir/go/jsonformat"
	apb "github.com/google/fhir/go/proto/google/fhir/proto/r4/core/resources/audit_event_go_proto"

	"spinetrace/store"
)

// An Exporter makes AuditEvents of events. It keeps nothing between two of them.
type Exporter struct {
	Journal store.Audit // where the rest of an exchange, and its bodies, are read
	ODS     string      // code of the organisation whose journal it is
	Bodies  bool        // questions are in the AuditEvents as they were asked
}

// Line returns the AuditEvent that begins with e, without a line end. It is nil if e belongs to
// one that begins with another event. Each was validated. Errors say where, not what.
func (x *Exporter) Line(ctx context.Context, e store.Event) ([]byte, error) {
	k, ok := kinds[e.Kind]
	if !ok {
		return nil, nil
	}
	a, err := x.gather(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("auditevent: %s:%d: %w", e.Chain, e.Seq, err)
	}
	r := record{act: a, ods: x.ODS}
	r.begin(k)
	k.tell(&r)
	r.end()
	line, err := marshal(r.made)
	if err != nil {
		return nil, fmt.Errorf("auditevent: %s:%d: %w", e.Chain, e.Seq, err)
	}
	return line, nil
}

var (
	errDocument = errors.New("the event's document cannot be read")
	errInvalid  = errors.New("the AuditEvent is not valid FHIR")
)

// formats are google/fhir/go's writer, and its reader that validates.
var formats = sync.OnceValues(func() (f struct {
	*jsonformat.Marshaller
	*jsonformat.Unmarshaller
}, err error) {
	if f.Marshaller, err = jsonformat.NewMarshaller(false, "", "", fhirversion.R4); err == nil {
		f.Unmarshaller, err = jsonformat.NewUnmarshaller("UTC", fhirversion.R4)
	}
	return f, err
})

// marshal writes the resource, and proves that who reads it gets the same. Errors of google/fhir/go
// quote what they complain of, and it is not to take the process down.
func marshal(made *apb.AuditEvent) (line []byte, err error) {
	defer func() {
		if recover() != nil {
			err = errInvalid
		}
	}()
	f, err := formats()
	if err != nil {
		return nil, err
	}
	if line, err = f.MarshalResource(made); err != nil {
		return nil, errInvalid
	}
	read, err := f.Unmarshal(line)
	if err != nil {
		return nil, errInvalid
	}
	again, err := f.Marshal(read)
	if err != nil || !bytes.Equal(line, again) {
		return nil, errInvalid
	}
	return line, nil
}
