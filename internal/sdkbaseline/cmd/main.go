// Cmd runs the baseline connector as a program, as baton-segment is run.
package main

import (
	"context"

	"github.com/conductorone/baton-sdk/pkg/cli"
	"github.com/conductorone/baton-sdk/pkg/config"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/conductorone/baton-sdk/pkg/connectorrunner"
	"github.com/conductorone/baton-sdk/pkg/field"
	"github.com/spf13/viper"

	"github.com/baton-segment/baton-segment/internal/sdkbaseline"
)

func main() {
	schema := field.NewConfiguration([]field.SchemaField{
		field.StringField("workspace", field.WithDescription("File that the workspace is in"), field.WithRequired(true)),
	})
	config.RunConnector(context.Background(), "sdkbaseline", "dev", schema, open, connectorrunner.WithSessionStoreEnabled())
}

func open(_ context.Context, cfg *viper.Viper, _ *cli.ConnectorOpts) (connectorbuilder.ConnectorBuilderV2, []connectorbuilder.Opt, error) {
	return sdkbaseline.New(cfg.GetString("workspace")), nil, nil
}
