package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/wording"
	"github.com/baton-segment/baton-segment/connector/syncfile"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// The types of things that commands take, by name, slug, e-mail or id.
var (
	thingTypes = append(slices.Clone(wording.Reachable), access.TypeRole, access.TypeLabel, access.TypeGroup)
	people     = []string{access.TypeUser, access.TypeInvite}
)

func newWho(s *settings) *cobra.Command {
	var typeID string
	cmd := &cobra.Command{
		Use:   "who THING",
		Short: "Show who reaches a source, space, function or warehouse, holds a role, or is in a group",
		Long: `who shows who reaches a source, space, function or warehouse, who holds a role at any
scope, who holds a role on a label, or who is in a group.

THING is a name, a slug or an id, or a label such as env=prod. With several files, it is
looked up in each, and the answer names the workspaces that do not have it.`,
		Example: `  segment-iam who ios
  segment-iam who env=prod
  segment-iam who --type group "Data team"
  segment-iam who "Workspace Owner" -o csv
  segment-iam who "PII Access" -f shop.c1z -f app.c1z
  BATON_TOKEN=... segment-iam who ios --live`,
		Args: exactly(1, "one thing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			types := thingTypes
			if typeID != "" {
				if !slices.Contains(thingTypes, typeID) {
					return usagef("--type %s: use one of %s", typeID, strings.Join(thingTypes, ", "))
				}
				types = []string{typeID}
			}
			places, err := s.loadAndFind(cmd, args[0], types)
			if err != nil {
				return err
			}
			return s.writer(cmd).who(newAnswer(places, func(p place) []access.Path { return p.Who(p.match.Thing) }))
		},
	}
	cmd.Flags().StringVar(&typeID, "type", "", "what THING is, if its name is ambiguous: "+strings.Join(thingTypes, ", "))
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(thingTypes, cobra.ShellCompDirectiveNoFileComp))
	s.addSource(cmd)
	s.addOutput(cmd)
	return cmd
}

func newWhat(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "what PERSON",
		Short: "Show what a user or a pending invite reaches",
		Long: `what shows what a user or a pending invite reaches, and through what.

PERSON is an e-mail, a name or an id. With several files, the person is matched by e-mail.
A role on the whole workspace is one row, which counts what it reaches.`,
		Example: `  segment-iam what ann@example.com
  segment-iam what "Ann Lee" -o json`,
		Args: exactly(1, "one person"),
		RunE: func(cmd *cobra.Command, args []string) error {
			places, err := s.loadAndFind(cmd, args[0], people)
			if err != nil {
				return err
			}
			return s.writer(cmd).what(newAnswer(places, func(p place) []access.Path {
				_, paths := p.What(p.person().Ref())
				return paths
			}))
		},
	}
	s.addSource(cmd)
	s.addOutput(cmd)
	return cmd
}

func newOwners(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "owners",
		Short: "Show who owns the workspace, and through what",
		Args:  exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			snapshots, err := s.load(cmd)
			if err != nil {
				return err
			}
			return s.writer(cmd).owners(newAnswer(workspaces(snapshots), func(p place) []access.Path { return p.Owners() }))
		},
	}
	s.addSource(cmd)
	s.addOutput(cmd)
	return cmd
}

func newDiff(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "diff OLD NEW",
		Short:   "Show who gained or lost what between two files",
		Example: `  segment-iam diff monday.c1z friday.c1z`,
		Args:    exactly(2, "two files"),
		RunE: func(cmd *cobra.Command, args []string) error {
			before, err := syncfile.Read(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			after, err := syncfile.Read(cmd.Context(), args[1])
			if err != nil {
				return err
			}
			if before.Workspace.ID != after.Workspace.ID {
				return fmt.Errorf("%s is of the workspace %s (%s) and %s of %s (%s): compare files of one workspace",
					args[0], wording.Plain(before.Workspace.Name), before.Workspace.ID, args[1], wording.Plain(after.Workspace.Name), after.Workspace.ID)
			}
			return s.writer(cmd).diff(access.Diff(before, after))
		},
	}
	s.addOutput(cmd)
	return cmd
}
