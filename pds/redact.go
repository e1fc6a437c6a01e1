package pds

import (
	"fmt"
	"io"
	"log/slog"
)

// What a value that identifies a person prints as.
const redacted = "redacted"

var (
	redactedJSON  = []byte(`"` + redacted + `"`)
	redactedValue = slog.StringValue(redacted)
)

func redact(f fmt.State) { _, _ = io.WriteString(f, redacted) } // fmt.State keeps its own errors
