package segmentapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/segmentio/public-api-sdk-go/api"
)

// membersOf is the name under which the memory of own writes has the members of a
// group, by their folded addresses.
func membersOf(groupID string) string { return "the members of group " + groupID }

// rememberedWith returns the ids of the groups to which this process has added an address within
// the last minute. A list may be too old to show it.
func (s *GroupService) rememberedWith(email string) []string {
	var ids []string
	for _, object := range s.c.writer.memory.objectsWith(FoldEmail(email)) {
		if id, ok := strings.CutPrefix(object, membersOf("")); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// addMembers adds those of emails that are not in a group, and returns them.
func (s *GroupService) addMembers(ctx context.Context, groupID string, emails []string) ([]string, error) {
	missing, err := s.missing(ctx, groupID, emails)
	if err != nil {
		return nil, err
	}
	if len(missing) == 0 {
		s.c.logUnchanged(ctx, addMembersCall(groupID), "group "+groupID, "already in it: "+strings.Join(emails, ", "))
		return nil, nil
	}
	if s.c.planned(ctx, addMembersCall(groupID), "group "+groupID, "+ "+strings.Join(missing, ", ")) {
		return missing, nil
	}
	if err = s.add(ctx, groupID, missing, false); err != nil {
		return nil, err
	}
	return missing, nil
}

func addMembersCall(groupID string) call {
	return call{"addUsersToUserGroup", http.MethodPost, "/groups/" + groupID + "/users"}
}

func removeMembersCall(groupID string) call {
	return call{"removeUsersFromUserGroup", http.MethodDelete, "/group/" + groupID + "/users"}
}

// add adds members without checking whether they are already in the group. givenBack is
// set if they were in it before: the request is then repeated if its answer is lost.
func (s *GroupService) add(ctx context.Context, groupID string, emails []string, givenBack bool) error {
	op := addMembersCall(groupID)
	return s.c.carryOut(ctx, change{
		call: op, subject: "group " + groupID, what: "+ " + strings.Join(emails, ", "), repeatable: givenBack,
		send: func(ctx context.Context, _ bool) error {
			return sendUnless(ctx, s.c, op, rechecker{}, func(ctx context.Context) (*api.AddUsersToUserGroup200Response, *http.Response, error) {
				return s.c.raw.IAMGroupsAPI.AddUsersToUserGroup(ctx, groupID).
					AddUsersToUserGroupV1Input(api.AddUsersToUserGroupV1Input{Emails: emails}).Execute()
			})
		},
		notYet: func(ctx context.Context) (string, error) {
			left, err := s.readMissing(ctx, groupID, emails)
			return strings.Join(left, ", "), err
		},
		facts: func() []changedFact { return memberFacts(groupID, emails, true) },
	})
}

func memberFacts(groupID string, emails []string, in bool) []changedFact {
	var facts []changedFact
	for _, email := range emails {
		facts = append(facts, changedFact{membersOf(groupID), FoldEmail(email), in})
	}
	return facts
}

// takeOut removes rows until no list has the addresses any more: one may be listed as a
// user and as an invite. check is called again before a removal that had to wait; it may
// be nil. takeOut returns the addresses whose removal may have been carried out.
func (s *GroupService) takeOut(ctx context.Context, groupID string, emails []string, rows []member, check func(context.Context) error) ([]string, error) {
	op := removeMembersCall(groupID)
	var taken []string
	for tries := 1; ; tries++ {
		sending := addresses(rows)
		answered := 0 // How many of sending have been answered.
		var left []member
		err := s.c.carryOut(ctx, change{
			call: op, subject: "group " + groupID, what: "- " + strings.Join(sending, ", "), repeatable: true,
			send: func(ctx context.Context, again bool) error {
				recheck := rechecker{always: again}
				if check != nil {
					recheck.check = func(ctx context.Context) (bool, error) { return true, check(ctx) }
				}
				var notThere error
				for _, email := range sending[answered:] {
					err := sendUnless(ctx, s.c, op, recheck, func(ctx context.Context) (*api.RemoveUsersFromUserGroup200Response, *http.Response, error) {
						return s.c.raw.IAMGroupsAPI.RemoveUsersFromUserGroup(ctx, groupID).Emails([]string{email}).Execute()
					})
					if (err == nil || outcomeUnknown(err)) && !slices.Contains(taken, email) {
						taken = append(taken, email)
					}
					switch {
					case gone(err): // A member who is already gone must not keep the others in.
						notThere = err
					case err != nil:
						return err
					}
					answered++
				}
				return notThere
			},
			notYet: func(ctx context.Context) (string, error) {
				var err error
				left, err = s.readMembersWith(ctx, groupID, emails)
				return strings.Join(addresses(left), ", "), err
			},
			facts: func() []changedFact { return memberFacts(groupID, sending, false) },
		})
		if err != nil && !accepted(err) && answered > 0 {
			s.c.writer.memory.note(memberFacts(groupID, taken, false))
			s.c.audit(ctx, op, "group "+groupID, "- "+strings.Join(taken, ", "), fmt.Errorf("the others were not removed: %w", err))
		}
		if !errors.Is(err, ErrUnconfirmed) || slices.Equal(left, rows) || tries == maxTries {
			return taken, err
		}
		rows = left // Some of them are gone, so this read is not stale.
	}
}

// keepOwner puts removed members back if no other owner is left.
func (s *GroupService) keepOwner(ctx context.Context, owners *ownership, groupID string, removed []string) error {
	err := owners.findOtherAfter(ctx)
	if err == nil {
		return nil
	}
	ctx, cancel := restoring(ctx)
	defer cancel()
	if undoErr := s.add(ctx, groupID, removed, true); undoErr != nil {
		return fmt.Errorf("segment group %s has lost %s, which %w (%w), but must be: %w", groupID, strings.Join(removed, ", "), ErrNotRestored, undoErr, err)
	}
	return fmt.Errorf("segment group %s: the members %s were put back: %w", groupID, strings.Join(removed, ", "), err)
}

// checkMembers returns the addresses without white space around them. It refuses
// arguments that cannot be members of a group.
func checkMembers(groupID string, emails []string) ([]string, error) {
	if err := checkID("group", groupID); err != nil {
		return nil, err
	}
	if len(emails) == 0 {
		return nil, invalidArgument("no e-mail addresses: name at least one")
	}
	trimmed := make([]string, len(emails))
	for i, email := range emails {
		if trimmed[i] = trimEmail(email); trimmed[i] == "" {
			return nil, invalidArgument("an e-mail address is empty")
		}
	}
	return trimmed, nil
}

// A member is a row of one of a group's lists. A pending invite has no userID.
type member struct{ email, userID string }

func addresses(rows []member) []string {
	var emails []string
	for _, m := range rows {
		if !slices.Contains(emails, m.email) {
			emails = append(emails, m.email)
		}
	}
	return emails
}

// leavingUsers are the users among rows, by id.
func leavingUsers(groupID string, rows []member) (map[string]bool, error) {
	leaving := map[string]bool{}
	byEmail := map[string]string{}
	for _, m := range rows {
		if m.userID == "" {
			continue
		}
		if other, ok := byEmail[FoldEmail(m.email)]; ok && other != m.userID {
			return nil, fmt.Errorf("segment group %s: %w: the addresses of its users %s and %s differ only in case (%s), and Segment removes by address",
				groupID, ErrAmbiguous, other, m.userID, m.email)
		}
		byEmail[FoldEmail(m.email)] = m.userID
		leaving[m.userID] = true
	}
	return leaving, nil
}

// membersWith returns the rows of both lists of a group that have one of emails. It reads
// again if the answer is older than what this process has written.
func (s *GroupService) membersWith(ctx context.Context, groupID string, emails []string) ([]member, error) {
	asked := folded(emails)
	return readRemembering(ctx, s.c, membersOf(groupID), func(ctx context.Context) ([]member, error) {
		return s.readMembersWith(ctx, groupID, emails)
	}, func(rows []member, email string) (bool, bool) {
		return slices.ContainsFunc(rows, func(m member) bool { return FoldEmail(m.email) == email }), asked[email]
	})
}

func (s *GroupService) readMembersWith(ctx context.Context, groupID string, emails []string) ([]member, error) {
	asked := folded(emails)
	var rows []member
	for user, err := range s.AllMembers(ctx, groupID) {
		if err != nil {
			return nil, err
		}
		if asked[FoldEmail(user.Email)] {
			rows = append(rows, member{user.Email, user.ID})
		}
	}
	for email, err := range s.AllInvites(ctx, groupID) {
		if err != nil {
			return nil, err
		}
		if asked[FoldEmail(email)] {
			rows = append(rows, member{email: email})
		}
	}
	return rows, nil
}

// missing returns those of emails that are not in a group, each once. It reads again if
// the answer is older than what this process has written.
func (s *GroupService) missing(ctx context.Context, groupID string, emails []string) ([]string, error) {
	asked := folded(emails)
	return readRemembering(ctx, s.c, membersOf(groupID), func(ctx context.Context) ([]string, error) {
		return s.readMissing(ctx, groupID, emails)
	}, func(missing []string, email string) (bool, bool) {
		return !folded(missing)[email], asked[email]
	})
}

// readMissing stops reading once it has found all of emails.
func (s *GroupService) readMissing(ctx context.Context, groupID string, emails []string) ([]string, error) {
	left := folded(emails)
	for user, err := range s.AllMembers(ctx, groupID) {
		if err != nil {
			return nil, err
		}
		if delete(left, FoldEmail(user.Email)); len(left) == 0 {
			return nil, nil
		}
	}
	for email, err := range s.AllInvites(ctx, groupID) {
		if err != nil {
			return nil, err
		}
		if delete(left, FoldEmail(email)); len(left) == 0 {
			return nil, nil
		}
	}
	var missing []string
	for _, email := range emails {
		if left[FoldEmail(email)] {
			delete(left, FoldEmail(email))
			missing = append(missing, email)
		}
	}
	return missing, nil
}

// folded is the set of addresses in the form in which they are compared.
func folded(emails []string) map[string]bool {
	set := map[string]bool{}
	for _, email := range emails {
		set[FoldEmail(email)] = true
	}
	return set
}
