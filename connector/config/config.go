// Package config is the connector's configuration as baton-sdk's command line
// takes it: flags, environment and file.
package config

import (
	"github.com/conductorone/baton-sdk/pkg/field"

	"github.com/baton-segment/baton-segment/segmentapi"
)

//go:generate go run ./gen
//go:generate go fmt .

// Schema lists the fields. Base URL and page size are for tests and stay out
// of the help and of the published schema.
func Schema() field.Configuration {
	return field.NewConfiguration([]field.SchemaField{
		field.StringField("token",
			field.WithDisplayName("API token"),
			field.WithDescription("Segment Public API token, preferably of a Workspace Owner (Workspace Settings, Access Management, Tokens)"),
			field.WithRequired(true),
			field.WithIsSecret(true)),
		// Segment's own pages write the regions in all of these ways.
		field.SelectField("region", []string{string(segmentapi.RegionUS), string(segmentapi.RegionEU), "US", "EU", "eu1"},
			field.WithDisplayName("Region"),
			field.WithDescription("Where the workspace's data lives; a token works in one region only"),
			field.WithDefaultValue(string(segmentapi.RegionUS))),
		field.BoolField("dry-run",
			field.WithDescription("With a change: check it and log what it would do, but change nothing"),
			field.WithExportTarget(field.ExportTargetCLIOnly)),
		field.StringField("base-url",
			field.WithStructFieldName("BaseURL"),
			field.WithDescription("API endpoint in place of the region's, https or loopback"),
			field.WithHidden(true),
			field.WithExportTarget(field.ExportTargetCLIOnly)),
		field.IntField("page-size",
			field.WithDescription("Rows per list request, 1 to 1000"),
			field.WithHidden(true),
			field.WithDefaultValue(segmentapi.MaxPageSize),
			field.WithExportTarget(field.ExportTargetCLIOnly),
			field.WithInt(func(r *field.IntRuler) { r.Gte(1).Lte(segmentapi.MaxPageSize) })),
	},
		field.WithConnectorDisplayName("Twilio Segment"),
	)
}
