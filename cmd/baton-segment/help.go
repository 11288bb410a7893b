package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const description = `Baton-segment reads a Twilio Segment workspace: its users, invites, groups and roles, and
who holds which role on what. A run writes a file (.c1z) that segment-iam and the baton
command read. With a client ID from ConductorOne, it runs as a service instead.

It changes nothing in Segment, unless a flag under "Changes" is set. As a service, it needs
--provisioning to make changes.`

const examples = `  export BATON_TOKEN=<token>

  # Read the workspace into sync.c1z.
  baton-segment -f sync.c1z

  # Grant a role, or the membership of a group. The ids are in the file.
  baton-segment -f sync.c1z --grant-entitlement <entitlement id> --grant-principal <user id> --grant-principal-type user

  # Revoke it.
  baton-segment -f sync.c1z --revoke-grant <grant id>

  # Invite a person.
  baton-segment -f sync.c1z --create-account-login <e-mail> --create-account-profile '{"email": "<e-mail>", "groups": ["<group>"]}'

  # Remove a user from the workspace, or withdraw an invite.
  baton-segment -f sync.c1z --delete-resource <user id> --delete-resource-type user
  baton-segment -f sync.c1z --delete-resource <e-mail> --delete-resource-type invite`

// A flagGroup has flags that are used together.
type flagGroup struct {
	title string
	flags []flagText
}

// A flagText is a flag and its description in the help. If the text is empty, the help has
// the SDK's description.
type flagText struct{ name, text string }

// flagGroups returns the flags that the help explains.
func flagGroups() []flagGroup {
	return []flagGroup{
		{"Credentials", []flagText{
			{"token", "required: Segment Public API token of a Workspace Owner. Set BATON_TOKEN instead: other users of the machine can see the flag in the process list"},
			{"region", "Region of the workspace, US or EU. A token works in one region only"},
		}},
		{"Sync", []flagText{
			{"file", "A sync writes the .c1z file at this `path`, and a change reads it"},
			{"sync-resource-types", "Sync only these `types` of resources, such as user,group,role"},
			{"sync-resources", "Sync only the resources of these `ids`, such as bid:r:user/42"},
			{"skip-entitlements-and-grants", "Sync resources only"},
			{"skip-grants", "With --sync-resources: sync no grants"},
			{"workers", "Number of simultaneous requests, by default 32, or fewer if Segment refuses that many. -1 means one for each processor"},
			{"http-timeout-seconds", "Time limit of a request in seconds, 1 to 1800"},
			{"c1z-temp-dir", "Put temporary files into this `folder`, which must exist"},
			{"session-store-maximum-size", "Maximum size of the sync's data in memory, in bytes"},
			{"storage-engine", "Format of a new file: pebble (the default) or sqlite"},
		}},
		{"Changes", []flagText{
			{"grant-entitlement", "Grant the entitlement of this `id`"},
			{"grant-principal", "To the user, group or invite of this `id`"},
			{"grant-principal-type", "Its `type`: user, group or invite"},
			{"revoke-grant", "Revoke the grant of this `id`"},
			{"create-account-login", "Invite a person. Give the same `e-mail` in the profile"},
			{"create-account-email", "Use this `e-mail` if the profile has none"},
			{"create-account-profile", "Invite a person with this `JSON` object. Its keys are email, role and groups"},
			{"create-account-resource-type", "Create an account of this `type`. Only invite, the default, is possible"},
			{"delete-resource", "Delete the user or group of this `id`, or withdraw the invite of this e-mail"},
			{"delete-resource-type", "Its `type`: user, group or invite"},
			{"dry-run", "With one of these: check the change and log what it would do, but change nothing"},
		}},
		{"Service", serviceFlags()},
		{"Logging and telemetry", loggingFlags()},
		{"Help", []flagText{{"help", "Print this text"}, {"version", "Print the version"}}},
	}
}

func serviceFlags() []flagText {
	return []flagText{
		{"client-id", "Client ID from ConductorOne. With it, the program runs as a service"},
		{"client-secret", "Client secret from ConductorOne. Set BATON_CLIENT_SECRET instead, as with the token"},
		{"provisioning", "Allow changes. Without it, a service only reads"},
		{"skip-full-sync", "Run no full syncs"},
		{"task-concurrency", "Number of simultaneous tasks, 1 to 100"},
		{"health-check", "Answer on /live, /ready and /health"},
		{"health-check-port", "Port of the health check"},
		{"health-check-bind-address", "Listen on this `address`. With 127.0.0.1, other machines cannot connect"},
		{"log-level-debug-expires-at", "On AWS Lambda, stop logging at the level debug at this `time`, in RFC 3339"},
	}
}

func loggingFlags() []flagText {
	return []flagText{
		{"log-level", "Log lines of this `level` and above: debug, info, warn or error"},
		{"log-format", "Log in this `format`: console or json. The default is console on a terminal, otherwise json"},
		{"log-path", "Write the log to the files at these `paths`. Lines about requests and changes still go to standard error"},
		{"log-event-log", ""}, // On Windows only.
		{"otel-collector-endpoint", "Send traces and logs to the OpenTelemetry collector at this `address`, such as localhost:4317, by OTLP over gRPC"},
		{"otel-collector-endpoint-tls-cert-path", "Trust the certificates in the PEM file at this `path`"},
		{"otel-collector-endpoint-tls-cert", "Trust the certificates in this `text`, a PEM file in base64url without padding"},
		{"otel-collector-endpoint-tls-insecure", "Connect to the collector without TLS"},
		{"otel-tracing-disabled", "Send no traces to the collector"},
		{"otel-logging-disabled", "Send no logs to the collector"},
	}
}

// unusedFlags returns the SDK's flags that have no use with this connector, are
// deprecated, or are for tests. The help has their names only.
func unusedFlags() []string {
	return []string{
		"auth-method", "base-url", "page-size", "parallel-sync", "ticketing",
		"create-ticket", "bulk-create-ticket", "bulk-ticket-template-path", "get-ticket", "list-ticket-schemas", "ticket-id", "ticket-template-path",
		"event-feed", "event-feed-id", "event-feed-start-at", "event-feed-cursor",
		"external-resource-c1z", "external-resource-entitlement-id-filter", "external-resource-traits", "keep-previous-sync-c1z",
		"compact-syncs", "compact-sync-ids", "compact-file-paths", "compact-output-path",
		"invoke-action", "invoke-action-args", "invoke-action-resource-type", "list-action-schemas", "list-action-schemas-resource-type",
		"list-resource-actions", "invoke-resource-action", "invoke-resource-action-resource-type", "invoke-resource-action-args",
		"rotate-credentials", "rotate-credentials-type",
	}
}

// describe sets the help of the command, which has all flags, including those that the SDK
// hides.
func describe(root *cobra.Command) {
	root.Short, root.Long, root.Example = "Read a Twilio Segment workspace, and change who has access", description, examples
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		_, err := io.WriteString(cmd.OutOrStderr(), usage(cmd))
		return err
	})
	short := map[string]string{
		"capabilities": "Print what can be synced and changed, as JSON",
		"config":       "Print the settings that ConductorOne shows, as JSON",
		"health-check": "Ask a running service for its health, as a probe does",
	}
	for _, c := range root.Commands() {
		if text, known := short[c.Name()]; known {
			c.Short, c.Long = text, ""
		}
	}
}

// usage is the part of the help below the description.
func usage(cmd *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage:\n  %s\n", cmd.UseLine())
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s [command]\n", cmd.CommandPath())
	}
	if cmd.HasExample() {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n")
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				fmt.Fprintf(&b, "  %-13s %s\n", c.Name(), c.Short)
			}
		}
	}
	if !cmd.HasParent() {
		writeGroups(&b, cmd)
		return b.String()
	}
	if flags := cmd.LocalNonPersistentFlags(); flags.HasAvailableFlags() {
		fmt.Fprintf(&b, "\nFlags:\n%s", flags.FlagUsagesWrapped(columns))
	}
	fmt.Fprintf(&b, "\nThis command also takes the flags that %s --help lists.\n", cmd.Root().Name())
	return b.String()
}

// columns is the maximum length of a line of flags.
const columns = 110

// writeGroups writes the flags of the main command by group. If a new version of the SDK adds
// a flag that has no group yet, the help shows it with the SDK's description.
func writeGroups(b *strings.Builder, root *cobra.Command) {
	groups, known := flagGroups(), unusedFlags()
	for _, g := range groups {
		for _, f := range g.flags {
			known = append(known, f.name)
		}
	}
	var others flagGroup
	others.title = "Others"
	root.Flags().VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(known, f.Name) {
			others.flags = append(others.flags, flagText{name: f.Name})
		}
	})
	for _, g := range append(groups, others) {
		if text := g.usages(root.Flags()); text != "" {
			fmt.Fprintf(b, "\n%s:\n%s", g.title, text)
		}
	}
	b.WriteString(`
Each flag can also be set as an environment variable, such as BATON_SYNC_RESOURCES for
--sync-resources, or in the file .baton.yaml in the working folder, or in the YAML file that
BATON_CONFIG_PATH names. Flags override environment variables, which override the file.

These flags have no use with this connector, are deprecated, or are for tests:
`)
	names := "--" + strings.Join(unusedFlags(), ", --")
	for len(names) > columns {
		end := strings.LastIndex(names[:columns], ", ") + 1
		fmt.Fprintf(b, "  %s\n", names[:end])
		names = names[end+1:]
	}
	fmt.Fprintf(b, "  %s\n", names)
}

// usages describes those flags of the group that the program has.
func (g flagGroup) usages(all *pflag.FlagSet) string {
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	set.SortFlags = false
	variable := regexp.MustCompile(` ?\(\$BATON_\w+\)`)
	for _, t := range g.flags {
		f := all.Lookup(t.name)
		if f == nil {
			continue
		}
		shown := *f
		shown.Hidden = false
		if shown.Usage = t.text; t.text == "" {
			shown.Usage = variable.ReplaceAllString(f.Usage, "")
		}
		if f.Name == flagLogFormat {
			shown.DefValue = "" // It depends on where the log goes.
		}
		set.AddFlag(&shown)
	}
	return set.FlagUsagesWrapped(columns)
}
