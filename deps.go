//go:build deps

package main

import (
	_ "github.com/beevik/etree"
	_ "github.com/failsafe-go/failsafe-go/retrypolicy"
	_ "github.com/failsafe-go/failsafe-go/bulkhead"
	_ "github.com/failsafe-go/failsafe-go/circuitbreaker"
	_ "github.com/gofrs/flock"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/google/uuid"
	_ "github.com/kelseyhightower/envconfig"
	_ "github.com/klauspost/compress/zstd"
	_ "github.com/lib/pq"
	_ "github.com/pressly/goose/v3"
	_ "github.com/pressly/goose/v3/lock"
	_ "github.com/prometheus/client_golang/prometheus/promhttp"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "go.uber.org/goleak"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/text/encoding/charmap"
	_ "golang.org/x/text/encoding/simplifiedchinese"
	_ "golang.org/x/text/unicode/norm"
	_ "modernc.org/sqlite"
	_ "pgregory.net/rapid"
)
