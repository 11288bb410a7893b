package segmentapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/segmentio/public-api-sdk-go/api"
)

func (s *GroupService) addMembers(ctx context.Context, groupID string, emails []string) ([]string, error) {
	missing, err := s.missing(ctx, groupID, emails)
	if err != nil || len(missing) == 0 || s.c.writer.dryRun {
		return missing, err
	}
	what := call{"addUsersToUserGroup", http.MethodPost, "/groups/" + groupID + "/users"}
	_, _, err = execute(ctx, s.c, what, func(ctx context.Context) (*api.AddUsersToUserGroup200Response, *http.Response, error) {
		return s.c.raw.IAMGroupsAPI.AddUsersToUserGroup(ctx, groupID).
			AddUsersToUserGroupV1Input(api.AddUsersToUserGroupV1Input{Emails: missing}).Execute()
	})
	if err = s.c.verify(ctx, what, "group "+groupID, "+ "+strings.Join(missing, ", "), err, func(ctx context.Context) (string, error) {
		left, readErr := s.missing(ctx, groupID, missing)
		return strings.Join(left, ", "), readErr
	}); err != nil {
		return nil, err
	}
	return missing, nil
}

// confirm gives members back their place if no other owner is left.
func (s *GroupService) confirm(ctx context.Context, owners *ownership, groupID string, removed []string) error {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	err := owners.prove(ctx)
	if err == nil {
		return nil
	}
	if _, undoErr := s.addMembers(ctx, groupID, removed); undoErr != nil {
		return fmt.Errorf("segment group %s has lost %s, who %w (%w), but must: %w", groupID, strings.Join(removed, ", "), ErrNotRestored, undoErr, err)
	}
	return fmt.Errorf("segment group %s: %s put back: %w", groupID, strings.Join(removed, ", "), err)
}

// removeMembers removes rows until no list has the addresses any more: one may
// be listed as a user and as an invite.
// Before any that time has passed for, check is asked whether they still may go.
func (s *GroupService) removeMembers(ctx context.Context, groupID string, emails []string, rows []member, check func() error) error {
	what := call{"removeUsersFromUserGroup", http.MethodDelete, "/group/" + groupID + "/users"}
	for tries := 1; ; tries++ {
		var failed error
		going := addresses(rows)
		for i, email := range going {
			_, err := afresh(ctx, s.c, what, func() (bool, error) {
				return true, check()
			}, func(ctx context.Context) (*api.RemoveUsersFromUserGroup200Response, *http.Response, error) {
				return s.c.raw.IAMGroupsAPI.RemoveUsersFromUserGroup(ctx, groupID).Emails([]string{email}).Execute()
			})
			if err != nil {
				failed = err
			}
			if err != nil && !gone(err) { // Who is gone already keeps nobody else in.
				if i > 0 { // They have gone, whatever becomes of the others.
					s.c.audit(ctx, what, "group "+groupID, "- "+strings.Join(going[:i], ", "), nil)
				}
				going = going[i:]
				break
			}
		}
		change := "- " + strings.Join(going, ", ")
		var left []member
		err := s.c.verify(ctx, what, "group "+groupID, change, failed, func(ctx context.Context) (string, error) {
			var readErr error
			left, readErr = s.present(ctx, groupID, emails)
			return strings.Join(addresses(left), ", "), readErr
		})
		if err == nil || failed != nil || len(left) == 0 || tries == maxTries {
			return err
		}
		rows = left
	}
}

func (s *GroupService) lockMembers(ctx context.Context, groupID string, emails []string) (func(), error) {
	if err := checkID("group", groupID); err != nil {
		return nil, err
	}
	if len(emails) == 0 {
		return nil, invalidArgument("no e-mail addresses: name at least one")
	}
	for _, email := range emails {
		if fold(email) == "" {
			return nil, invalidArgument("an e-mail address is empty")
		}
	}
	return s.c.writer.locks.acquire(ctx, "group "+groupID)
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
		if other, ok := byEmail[fold(m.email)]; ok && other != m.userID {
			return nil, fmt.Errorf("segment group %s: %w: the users %s and %s in it have the address %s but for case, and Segment removes by address",
				groupID, ErrAmbiguous, other, m.userID, m.email)
		}
		byEmail[fold(m.email)] = m.userID
		leaving[m.userID] = true
	}
	return leaving, nil
}

// present returns the rows of both lists of a group that have one of emails.
func (s *GroupService) present(ctx context.Context, groupID string, emails []string) ([]member, error) {
	asked := map[string]bool{}
	for _, email := range emails {
		asked[fold(email)] = true
	}
	var rows []member
	for user, err := range s.AllMembers(ctx, groupID) {
		if err != nil {
			return nil, err
		}
		if asked[fold(user.Email)] {
			rows = append(rows, member{user.Email, user.ID})
		}
	}
	for email, err := range s.AllInvites(ctx, groupID) {
		if err != nil {
			return nil, err
		}
		if asked[fold(email)] {
			rows = append(rows, member{email: email})
		}
	}
	return rows, nil
}

// missing returns those of emails that are not in a group, each once. It reads
// no further than until it has found them all.
func (s *GroupService) missing(ctx context.Context, groupID string, emails []string) ([]string, error) {
	left := map[string]bool{}
	for _, email := range emails {
		left[fold(email)] = true
	}
	for user, err := range s.AllMembers(ctx, groupID) {
		if err != nil {
			return nil, err
		}
		if delete(left, fold(user.Email)); len(left) == 0 {
			return nil, nil
		}
	}
	for email, err := range s.AllInvites(ctx, groupID) {
		if err != nil {
			return nil, err
		}
		if delete(left, fold(email)); len(left) == 0 {
			return nil, nil
		}
	}
	var missing []string
	for _, email := range emails {
		if left[fold(email)] {
			delete(left, fold(email))
			missing = append(missing, email)
		}
	}
	return missing, nil
}
