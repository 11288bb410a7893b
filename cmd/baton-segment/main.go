// Baton-segment reads a Twilio Segment workspace into Baton.
package main

import (
	"context"
	"errors"
	"os"
	"runtime/debug"

	"github.com/conductorone/baton-sdk/pkg/cli"
	sdk "github.com/conductorone/baton-sdk/pkg/config"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/conductorone/baton-sdk/pkg/connectorrunner"
	"github.com/conductorone/baton-sdk/pkg/logging"
	"github.com/conductorone/baton-sdk/pkg/types"
	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"github.com/baton-segment/baton-segment/cmd/baton-segment/internal/writing"
	"github.com/baton-segment/baton-segment/connector"
	"github.com/baton-segment/baton-segment/connector/config"
)

// version is set by the release build.
var version = "dev"

const (
	// garbage lets the heap grow to three times what is in use, not to twice that:
	// a tenth more memory for a tenth less processor time. GOGC changes it.
	garbage = 200
	// memory is where that ends, in bytes: from here on garbage is collected as
	// soon as there is some. The SDK's last steps with 100 000 users would
	// otherwise take half a gigabyte more, to no use. It is no limit to what is in
	// use, and each of the two processes of a run has its own. GOMEMLIMIT changes it.
	memory = 512 << 20
)

func main() {
	takeOverLoggers()
	finishRemoval()
	setMemory()
	p := newProcess()
	cmd, err := p.command()
	if err == nil {
		err = cmd.Execute()
	}
	if err == nil {
		p.reportFile()
	}
	p.exit(err)
}

// command makes the command of the program. The SDK's RunConnector does the same, but
// exits before anything that this process has in temporary files can be removed.
func (p *process) command() (*cobra.Command, error) {
	settings, cmd, err := sdk.DefineConfigurationV2(p.ctx, "baton-segment", p.connector, config.Schema(),
		connectorrunner.WithDefaultCapabilitiesConnectorBuilderV2(&connector.Connector{}),
		connectorrunner.WithSessionStoreEnabled(),
		connectorrunner.WithWorkerCount(connector.Workers)) // --workers changes it.
	if err != nil {
		return nil, err
	}
	p.settings = settings
	cmd.Version = version
	cmd.RunE = checked(settings, cmd.RunE)
	describe(cmd)
	setLogFormat(cmd.PersistentFlags())
	return cmd, nil
}

// checked checks the settings that the SDK does not check, before a run.
func checked(settings *viper.Viper, run runFunc) runFunc {
	return func(cmd *cobra.Command, args []string) error {
		flags := cmd.Flags()
		for _, name := range []string{flagProfile, flagLogPath, flagClientID, flagDryRun} {
			if err := settings.BindPFlag(name, flags.Lookup(name)); err != nil {
				return err
			}
		}
		if err := errors.Join(checkFile(settings), checkProfile(settings), checkDryRun(settings)); err != nil {
			return err
		}
		if len(settings.GetStringSlice(flagLogPath)) > 0 {
			setDefault(flags.Lookup(flagLogFormat), logging.LogFormatJSON)
		}
		return run(cmd, args)
	}
}

type runFunc = func(*cobra.Command, []string) error

func setMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memory)
	}
}

// connector makes the connector. Parent and child both do, and the child uses it.
func (p *process) connector(ctx context.Context, cfg *config.Segment, opts cli.RunTimeOpts) (types.ConnectorServer, error) {
	p.guardExitCode(ctx)
	c, err := connector.New(ctx, connector.Options{
		Token: cfg.Token, Region: cfg.Region, BaseURL: cfg.BaseURL, PageSize: cfg.PageSize, DryRun: cfg.DryRun, Version: version,
	})
	if err != nil {
		return nil, err
	}
	server, err := connector.NewServer(ctx, c, connectorbuilder.WithSessionStore(opts.SessionStore))
	if err != nil {
		return nil, err
	}
	return changeServer{server, writing.FromEnv(), opts.SessionStore}, nil
}
