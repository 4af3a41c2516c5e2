// Package fields has names of what log lines say.
package fields

const (
	DurationS      = "duration_s"
	HTTPStatusCode = "http_status_code"
)

type Name struct {
	Standard string
}

var (
	Deprecated     = map[string]Name{}
	VariantVersion = map[string]int{}
)
