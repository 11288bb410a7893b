package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/doctor"
	"github.com/baton-segment/baton-segment/segmentapi"
)

func newDoctor(s *settings) *cobra.Command {
	var memberToken, output string
	var load bool
	var try doctor.Writes
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check on the workspace itself what baton-segment assumes of Segment",
		Long: `doctor checks on the workspace itself what baton-segment assumes of Segment, and reports
whether syncing and provisioning are safe. By default, it only reads. With --try-writes and
the slug of the workspace, it also tries writes on a group that it creates, and deletes the
group again. It never changes what others have created, and sends no e-mail unless --invite
is set.

If trying writes fails or is interrupted, doctor deletes what it has created, and prints the
report so far. If anything is left behind, the error names it. Interrupting the wait for the
audit trail ends only the wait.

The report contains counts, statuses, forms of ids, and names that Segment itself has given.
It contains no name, e-mail, id, label or slug from the workspace, so you can share it. Only
errors and lines about created and deleted objects, on standard error, contain names.

Exit codes:
  0  syncing and provisioning are safe
  2  the command line is wrong
  3  the workspace could not be read, or trying writes failed or was interrupted
  4  syncing is not safe
  5  only provisioning is not safe`,
		Example: `  BATON_TOKEN=... segment-iam doctor
  BATON_TOKEN=... segment-iam doctor -o json > report.json`,
		Args:              exactly(0, "no argument"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != formatTable && output != formatJSON {
				return usagef("--output %s: use one of %s, %s", output, formatTable, formatJSON)
			}
			token, err := s.tokenOf(s.token, "doctor")
			if err != nil {
				return err
			}
			options := doctor.Options{
				NewClient: func(token string, transport http.RoundTripper) (*segmentapi.Client, error) {
					return s.clientWith(token, readOnly{transport}, segmentapi.WithPageSize(segmentapi.MaxPageSize))
				},
				Transport: segmentapi.DefaultTransport(), Token: token, MemberToken: strings.TrimSpace(memberToken), Load: load,
			}
			try.TestAddress, try.Invite = strings.TrimSpace(try.TestAddress), strings.TrimSpace(try.Invite)
			switch {
			case try.Slug != "":
				try.NewClient = func(transport http.RoundTripper) (*segmentapi.Client, error) { return s.clientWith(token, transport) }
				try.Log = func(format string, args ...any) { _, _ = fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...) }
				options.Writes = &try
			case cmd.Flags().Changed("try-writes"):
				return usagef("--try-writes needs the slug of the workspace")
			case try.TestAddress != "" || try.Invite != "":
				return usagef("--test-address and --invite need --try-writes")
			}
			report, err := doctor.Run(cmd.Context(), options)
			if report == nil {
				return err
			}
			// An incomplete report is also printed.
			printErr := writer{out: cmd.OutOrStdout(), format: output}.doctor(report, errors.Is(err, doctor.ErrLeftBehind))
			if err = errors.Join(err, printErr); err != nil {
				return err
			}
			return unsafe(report)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", formatTable, "table or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{formatTable, formatJSON}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().StringVar(&memberToken, "member-token", "", "another token, with Minimal Workspace Access, to check how Segment refuses it")
	cmd.Flags().BoolVar(&load, "load", false, "also send up to 64 requests at the same time, at most a quarter of the rate limit")
	cmd.Flags().StringVar(&try.Slug, "try-writes", "", "`SLUG` of the workspace, to try writes on a group that doctor creates")
	cmd.Flags().StringVar(&try.TestAddress, "test-address", "", "e-mail of a user or invite to add to that group for a moment, while it gives nothing; also in another case")
	cmd.Flags().StringVar(&try.Invite, "invite", "", "address to invite for a moment; Segment sends it an e-mail")
	cmd.Flags().BoolVar(&try.NoAudit, "no-audit", false, "do not wait up to ten minutes for the writes to appear in the audit trail")
	s.addAccount(cmd)
	return cmd
}

// An unsafeError is the result of a doctor that has found something.
type unsafeError struct {
	what string
	code int
}

// Error implements error.
func (e unsafeError) Error() string {
	return e.what + " is not safe: see the report above"
}

func unsafe(r *doctor.Report) error {
	switch {
	case !r.Sync.Safe:
		return unsafeError{"syncing", exitSync}
	case !r.Provision.Safe:
		return unsafeError{"provisioning", exitProvision}
	}
	return nil
}

// doctor prints a report. leftBehind reports whether something that was created could not be
// deleted.
func (w writer) doctor(r *doctor.Report, leftBehind bool) error {
	if w.format == formatJSON {
		return w.json(r)
	}
	t := newSheet("What baton-segment assumes of Segment, and what this workspace shows", "", "Question", "About", "Assumed", "Seen")
	requests := fmt.Sprintf("%d requests, which changed nothing.", r.Requests)
	switch {
	case r.Writes > 0 && leftBehind:
		requests = fmt.Sprintf("%d requests, %d of them writes. NOT everything that they created is deleted: see the error.", r.Requests, r.Writes)
	case r.Writes > 0:
		requests = fmt.Sprintf("%d requests, %d of them writes. Everything that they created is deleted.", r.Requests, r.Writes)
	}
	var lines []string
	for _, c := range r.Checks {
		question := ""
		if c.Question > 0 {
			question = strconv.Itoa(c.Question)
		}
		t.add(string(c.Verdict), question, c.Name, c.Assumed, c.Seen)
		if c.Verdict == doctor.Differs {
			lines = append(lines, fmt.Sprintf("%s: %s", c.Name, c.Means))
		}
	}
	if len(lines) > 0 {
		lines = append([]string{"Differences and their consequences:"}, lines...)
	}
	lines = append(lines, safetyText("sync", r.Sync), safetyText("provision", r.Provision), requests)
	return w.print(t, nil, lines)
}

func safetyText(what string, s doctor.Safety) string {
	if s.Safe {
		return "Safe to " + what + "."
	}
	return "NOT safe to " + what + ": " + strings.Join(s.Why, " ")
}
