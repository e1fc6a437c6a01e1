// Package pdsfhir asks the PDS FHIR R4 API who a patient is, in its application-restricted,
// read-only mode.
package pdsfhir

import (
	_ "github.com/golang-jwt/jwt/v5"
	_ "github.com/google/fhir/go/fhirversion"
	_ "github.com/google/fhir/go/jsonformat"
	_ "github.com/google/fhir/go/proto/google/fhir/proto/r4/core/resources/patient_go_proto"
)
