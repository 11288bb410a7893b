// Gen writes conf.gen.go from the schema, by way of go generate.
package main

import (
	"github.com/conductorone/baton-sdk/pkg/config"

	segment "github.com/baton-segment/baton-segment/connector/config"
)

func main() { config.Generate("segment", segment.Schema()) }
