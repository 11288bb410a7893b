package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/conductorone/baton-sdk/pkg/logging"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
	"golang.org/x/term"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Settings of the SDK that this program reads.
const (
	flagProfile   = "create-account-profile"
	flagLogFormat = "log-format"
	flagLogPath   = "log-path"
	flagClientID  = "client-id"
	flagDryRun    = "dry-run"
)

// configPath is the variable that names the file with settings. Without it, that is
// .baton.yaml in the working folder.
const configPath = "BATON_CONFIG_PATH"

// checkFile refuses a settings file that is named but does not exist, or that is not YAML.
// The SDK would continue without it.
func checkFile(settings *viper.Viper) error {
	name, used := os.Getenv(configPath), settings.ConfigFileUsed()
	if used == "" && name != "" {
		return fmt.Errorf("there is no file %s: correct %s, or unset it", name, configPath)
	}
	// The SDK has read a pipe, which cannot be read again.
	if info, err := os.Stat(used); err != nil || !info.Mode().IsRegular() {
		return nil //nolint:nilerr // It was removed since.
	}
	err := settings.ReadInConfig()
	if errors.As(err, new(viper.ConfigParseError)) { // The error repeats a line of the file, which may have the token.
		return fmt.Errorf("%s is not YAML with one setting a line, such as region: eu", used)
	}
	return err
}

// checkProfile refuses a profile for a new account that is not a JSON object. The SDK would
// use an empty profile, and so invite the person with less than was requested.
func checkProfile(settings *viper.Viper) error {
	text := settings.GetString(flagProfile)
	if text == "" {
		return nil
	}
	var profile map[string]any
	if err := json.Unmarshal([]byte(text), &profile); err != nil {
		return status.Errorf(codes.InvalidArgument, "--%s is not a JSON object such as {\"email\": \"name@example.com\"}: %v", flagProfile, err)
	}
	return nil
}

// checkDryRun refuses a service that changes nothing: ConductorOne would take each change
// as made.
func checkDryRun(settings *viper.Viper) error {
	if settings.GetBool(flagDryRun) && settings.GetString(flagClientID) != "" {
		return status.Errorf(codes.InvalidArgument, "--%s is not for a service, whose changes ConductorOne takes as made: leave out --provisioning instead", flagDryRun)
	}
	return nil
}

// setLogFormat sets the format of the log to the one for people if standard error is a
// terminal. The SDK checks standard output instead, but the log goes to standard error.
func setLogFormat(flags *pflag.FlagSet) {
	format := logging.LogFormatJSON
	if term.IsTerminal(int(os.Stderr.Fd())) { // #nosec G115 -- It is a small number.
		format = logging.LogFormatConsole
	}
	setDefault(flags.Lookup(flagLogFormat), format)
}

// setDefault sets the value of a flag for the case that the user does not set it.
func setDefault(f *pflag.Flag, value string) {
	if !f.Changed {
		_ = f.Value.Set(value) // A string takes any value.
		f.DefValue = value
	}
}

// console reports whether the log of this run is in the format for people.
func (p *process) console() bool {
	return p.settings.GetString(flagLogFormat) == logging.LogFormatConsole
}
