package main

import "testing"

func TestAuditBesideServeOnPostgres(t *testing.T) { auditBesideServe(t, migrated(t)) }
