package pdstest_test

import (
	"testing"

	"spinetrace/pds"
	"spinetrace/pds/pdstest"
)

var _ pds.Tracer = (*pdstest.Tracer)(nil)

func TestTracerConforms(t *testing.T) {
	pdstest.Exercise(t, func(_ *testing.T, trouble pdstest.Trouble) pdstest.Backend {
		tracer := &pdstest.Tracer{Population: pdstest.People(), Trouble: trouble}
		return pdstest.Backend{Tracer: tracer, Asked: tracer.Asked}
	})
}
