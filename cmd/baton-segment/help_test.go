package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// command returns the command of the program.
func command(t *testing.T) *cobra.Command {
	t.Helper()
	p := &process{ctx: t.Context()}
	cmd, err := p.command()
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

func help(t *testing.T, args ...string) string {
	t.Helper()
	cmd := command(t)
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append(args, "--help"))
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Each flag of the program is in exactly one list, and each flag in a list exists. The help
// explains the flag, or contains its name.
func TestHelp_HasEveryFlag(t *testing.T) {
	text := help(t)
	listed := unusedFlags()
	for _, g := range flagGroups() {
		for _, f := range g.flags {
			listed = append(listed, f.name)
		}
	}
	cmd := command(t)
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	var taken []string
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		taken = append(taken, f.Name)
		if !strings.Contains(text, "--"+f.Name+" ") && !strings.Contains(text, "--"+f.Name+",") && !strings.Contains(text, "--"+f.Name+"\n") {
			t.Errorf("the help does not have --%s", f.Name)
		}
	})
	if runtime.GOOS != "windows" {
		taken = append(taken, "log-event-log")
	}
	for _, name := range taken {
		if n := len(slices.DeleteFunc(slices.Clone(listed), func(other string) bool { return other != name })); n != 1 {
			t.Errorf("--%s is in %d lists", name, n)
		}
	}
	for _, name := range listed {
		if !slices.Contains(taken, name) {
			t.Errorf("the program does not take --%s", name)
		}
	}
}

// The help has a description, examples, the flags by group, and the warning about the token.
// Each subcommand has its own help.
func TestHelp(t *testing.T) {
	text := help(t)
	for _, part := range []string{
		"It changes nothing in Segment, unless", "Examples:", "--grant-entitlement <", "--revoke-grant <", "--create-account-profile '", "--delete-resource <",
		"\nCredentials:\n", "\nSync:\n", "\nChanges:\n", "\nService:\n", "\nLogging and telemetry:\n", "BATON_TOKEN", "process list", ".baton.yaml",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("the help does not have %q", part)
		}
	}
	if strings.Contains(text, "\nOthers:\n") {
		t.Error("flags are in no group")
	}
	for _, c := range command(t).Commands() {
		if !c.IsAvailableCommand() {
			continue
		}
		own := help(t, c.Name())
		if !strings.Contains(own, "Usage:\n  baton-segment "+c.Name()) || strings.Contains(own, "connector-name") || strings.Contains(own, "--region") {
			t.Errorf("%s:\n%s", c.Name(), own)
		}
	}
}

// If a settings file cannot be read, the run ends. The error does not contain the content of
// the file, which may include the token.
func TestCheckFile(t *testing.T) {
	const broken = "token: secret\n\tregion eu\n: [secret"
	for _, c := range []struct{ name, path, file, text, want string }{
		{name: "none"},
		{name: "in the folder", file: ".baton.yaml", text: "region: eu\n"},
		{name: "named", path: "mine.yml", file: "mine.yml", text: "region: eu\n"},
		{name: "empty", file: ".baton.yaml"},
		{name: "broken", file: ".baton.yaml", text: broken, want: "is not YAML with one setting a line"},
		{name: "named and broken", path: "mine.yaml", file: "mine.yaml", text: broken, want: "is not YAML with one setting a line"},
		{name: "named and not there", path: "mine.yaml", file: ".baton.yaml", text: "region: eu\n", want: "there is no file mine.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			t.Setenv(configPath, c.path)
			if c.file != "" {
				if err := os.WriteFile(filepath.Clean(c.file), []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			p := &process{ctx: t.Context()}
			if _, err := p.command(); err != nil {
				t.Fatal(err)
			}
			err := checkFile(p.settings)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret")):
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
