// Package api is the contract: the slice of the Segment Public API that this project sends and receives, as OpenAPI 3.0.3.
//
// Every line of it has evidence outside this project, named in the document itself where it is not the model of the
// official Go client. Tests hold the official client, the library and the simulator against it.
package api

import _ "embed"

// OpenAPI is the contract, the bytes of openapi.yaml. Treat it as read-only.
//
//go:embed openapi.yaml
var OpenAPI []byte
