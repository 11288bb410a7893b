package segmentapi

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/mail"
	"strings"
	"unicode"

	"github.com/segmentio/public-api-sdk-go/api"
)

// InviteService reads, sends and withdraws the pending invites of the workspace.
// An invite is an e-mail address: the API has no way to read its permissions.
type InviteService struct{ c *Client }

// List returns one page of the e-mail addresses of pending invites, exactly as
// Segment wrote them: GET /invites (listInvites).
func (s *InviteService) List(ctx context.Context, opts ListOptions) (*Page[string], error) {
	return list(ctx, s.c, opts, lister[api.ListInvites200Response, string, string]{
		call: call{"listInvites", http.MethodGet, "/invites"},
		run: func(ctx context.Context, p api.PaginationInput) (*api.ListInvites200Response, *http.Response, error) {
			return s.c.raw.IAMUsersAPI.ListInvites(ctx).Pagination(p).Execute()
		},
		read: func(o *api.ListInvites200Response) ([]string, api.PaginationOutput) {
			d := o.GetData()
			return d.Invites, d.Pagination
		},
		convert: itself,
		id:      itself,
	})
}

// All streams the e-mail address of every pending invite.
func (s *InviteService) All(ctx context.Context) iter.Seq2[string, error] {
	return all(ctx, "listInvites", s.List)
}

// An Invitation describes an invite to send.
type Invitation struct {
	Email string
	// Permissions are those that the person will hold; none means Minimal Workspace
	// Access.
	Permissions []Permission
	// Groups are the ids of groups that the person will be in.
	Groups []string
}

// An Invite is the result of an Invitation.
type Invite struct {
	// Email is the address as Segment writes it.
	Email string
	// Sent is false if the person is a user or was invited before.
	Sent bool
	// User is set if the person is a user of the workspace.
	User *User
}

// Create invites a person: POST /invites (createInvites). It sends nothing to a
// person who is already a user or invited; the case of the address does not matter.
// If an invite already exists, only missing groups are added, since its
// permissions cannot be read; a user is not changed.
//
// All users and all invites are listed before and after, because the API cannot
// look up an address: 5 requests in a workspace of up to 1000 people, 2 more
// without Permissions, and 6 for each group of up to 1000. Errors match
// [ErrInvalidArgument] before any request, [ErrNotFound] for a group that is gone,
// before anything is sent, [ErrInvalid] for a role that Segment does not know,
// [ErrAmbiguous] as in Delete, [ErrUnconfirmed]. If adding the groups fails, the
// same Create, called again, continues where it stopped.
func (s *InviteService) Create(ctx context.Context, in Invitation) (*Invite, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	email := trimEmail(in.Email)
	ctx, end, err := s.c.begin(ctx, "invite "+FoldEmail(email))
	if err != nil {
		return nil, err
	}
	defer end()
	invite, err := s.find(ctx, email)
	if err != nil || invite != nil && invite.User != nil {
		if err == nil {
			s.c.logUnchanged(ctx, createInvites, "invite "+email, "user "+invite.User.ID+" has the address")
		}
		return invite, err
	}
	for _, groupID := range in.Groups {
		if _, err = s.c.Groups.Get(ctx, groupID); err != nil {
			return nil, err
		}
	}
	if invite == nil {
		if invite, err = s.send(ctx, email, Assignments(in.Permissions)); err != nil {
			return nil, err
		}
	}
	if invite.User != nil && !invite.Sent {
		return invite, nil
	}
	for i, groupID := range in.Groups {
		if s.c.planned(ctx, addMembersCall(groupID), "group "+groupID, "+ "+invite.Email) {
			continue
		}
		if _, err = s.c.Groups.AddMembers(ctx, groupID, invite.Email); err != nil {
			return nil, fmt.Errorf("segment invite %s was sent, but is not yet in the groups %s: %w", invite.Email, strings.Join(in.Groups[i:], ", "), err)
		}
	}
	return invite, nil
}

// check refuses invitations that must not be sent.
func (in Invitation) check() error {
	email := trimEmail(in.Email)
	// The standard library accepts invisible characters, such as the no-break spaces
	// that come with copied text.
	hidden := func(r rune) bool { return !unicode.IsPrint(r) }
	if address, err := mail.ParseAddress(email); err != nil || address.Address != email || strings.ContainsFunc(email, hidden) {
		return invalidArgument("%q is not an e-mail address", email)
	}
	if len(in.Permissions) > 0 {
		if err := checkAssignments(Assignments(in.Permissions)); err != nil {
			return err
		}
	}
	for _, groupID := range in.Groups {
		if err := checkID("group", groupID); err != nil {
			return err
		}
	}
	return nil
}

// send sends an invite to a person who has none.
func (s *InviteService) send(ctx context.Context, email string, assignments []Assignment) (*Invite, error) {
	if len(assignments) == 0 {
		minimal, err := s.c.minimalAssignment(ctx)
		if err != nil {
			return nil, err
		}
		assignments = []Assignment{minimal}
	}
	assignments, err := s.c.inWorkspace(ctx, assignments)
	if err != nil {
		return nil, fmt.Errorf("segment invite %s: %w", email, err)
	}
	if err = s.c.checkLabels(ctx, assignments); err != nil {
		return nil, fmt.Errorf("segment invite %s: %w", email, err)
	}
	if s.c.planned(ctx, createInvites, "invite "+email, Difference{Added: assignments}.String()) {
		return &Invite{Email: email, Sent: true}, nil
	}
	var existing *Invite // By another program, meanwhile.
	var invite *Invite
	err = s.c.carryOut(ctx, change{
		call: createInvites, subject: "invite " + email, what: Difference{Added: assignments}.String(), mustBeOurs: true,
		send: func(ctx context.Context, again bool) error {
			return sendUnless(ctx, s.c, createInvites, rechecker{always: again, check: func(ctx context.Context) (bool, error) {
				var findErr error
				existing, findErr = s.find(ctx, email)
				return existing == nil, findErr
			}}, func(ctx context.Context) (*api.CreateInvites201Response, *http.Response, error) {
				return s.c.raw.IAMUsersAPI.CreateInvites(ctx).CreateInvitesV1Input(api.CreateInvitesV1Input{
					Invites: []api.InviteV1{{Email: email, Permissions: inviteInputOf(Permissions(assignments))}},
				}).Execute()
			})
		},
		notYet: func(ctx context.Context) (string, error) {
			var findErr error
			if invite, findErr = s.findOnce(ctx, email); invite == nil {
				return email, findErr
			}
			return "", findErr
		},
		facts: func() []changedFact { return []changedFact{{allInvites, FoldEmail(email), true}} },
	})
	switch {
	case errors.Is(err, errUnwanted):
		return existing, nil
	case refused(err) && !notSent(err): // If there is an invite now, another program sent it.
		other, findErr := s.find(ctx, email)
		if other == nil {
			return nil, errors.Join(err, findErr)
		}
		return other, nil
	case err != nil:
		return nil, err
	}
	invite.Sent = true
	return invite, nil
}

var (
	createInvites = call{"createInvites", http.MethodPost, "/invites"}
	deleteInvites = call{"deleteInvites", http.MethodDelete, "/invites"}
)

// allInvites is the name under which the memory of own writes has who was invited, and who
// is neither invited nor a user any more, by their folded addresses.
const allInvites = "the invites"

// find is findOnce, and reads again if the answer is older than what this process has written.
func (s *InviteService) find(ctx context.Context, email string) (*Invite, error) {
	return readRemembering(ctx, s.c, allInvites, func(ctx context.Context) (*Invite, error) {
		return s.findOnce(ctx, email)
	}, func(invite *Invite, folded string) (bool, bool) {
		return invite != nil, folded == FoldEmail(email)
	})
}

// findOnce looks for an address among invites and then among users: in this order it
// also finds a person who accepts meanwhile. A user whose invite is still listed
// counts as a user: Segment is said to list it for a while.
func (s *InviteService) findOnce(ctx context.Context, email string) (*Invite, error) {
	listed, err := s.listed(ctx, email)
	if err != nil && !errors.Is(err, ErrAmbiguous) {
		return nil, err
	}
	var user *User
	for u, listErr := range s.c.Users.All(ctx) {
		if listErr != nil {
			return nil, listErr
		}
		if FoldEmail(u.Email) == FoldEmail(email) && (user == nil || u.Email == email) {
			user = &u
		}
	}
	switch {
	case user != nil:
		return &Invite{Email: user.Email, User: user}, nil
	case listed != "":
		return &Invite{Email: listed}, nil
	}
	return nil, err
}

// listed returns the address of a pending invite as Segment writes it, or "" if
// there is none.
func (s *InviteService) listed(ctx context.Context, email string) (string, error) {
	var found []string
	for other, err := range s.All(ctx) {
		switch {
		case err != nil:
			return "", err
		case other == email:
			return other, nil
		case FoldEmail(other) == FoldEmail(email):
			found = append(found, other)
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("segment invite %s: %w: the pending invites %s differ only in case", email, ErrAmbiguous, strings.Join(found, " and "))
}

// Delete withdraws an invite and reports whether it existed: DELETE /invites
// (deleteInvites). It disappears from its groups unless the person has become a
// user. All invites are listed before and after, and the invites of up to 50 groups so that
// the log can name those that it is in: 4 requests and one for each group with up to 1000
// invites.
//
// Addresses compare without regard to the case of A to Z. Errors match
// [ErrInvalidArgument] before any request, [ErrAmbiguous] if several invites differ only
// in case, [ErrUnconfirmed].
func (s *InviteService) Delete(ctx context.Context, email string) (bool, error) {
	if email = trimEmail(email); email == "" {
		return false, invalidArgument("the e-mail address is empty")
	}
	ctx, end, err := s.c.begin(ctx, "invite "+FoldEmail(email))
	if err != nil {
		return false, err
	}
	defer end()
	listed, err := readRemembering(ctx, s.c, allInvites, func(ctx context.Context) (string, error) {
		return s.listed(ctx, email)
	}, func(listed, folded string) (bool, bool) { return listed != "", folded == FoldEmail(email) })
	if err == nil && listed == "" {
		s.c.logUnchanged(ctx, deleteInvites, "invite "+email, "no invite to this address is pending")
	}
	if listed == "" || err != nil {
		return false, err
	}
	if s.c.writer.dryRun { // Without the requests that the other line takes.
		return s.c.planned(ctx, deleteInvites, "invite "+listed, "removed"), nil
	}
	loses, in := s.loses(ctx, listed)
	in = append(in, s.c.Groups.rememberedWith(listed)...)
	err = s.c.carryOut(ctx, change{
		call: deleteInvites, subject: "invite " + listed, what: "removed" + loses, repeatable: true,
		send: func(ctx context.Context, _ bool) error {
			return sendUnless(ctx, s.c, deleteInvites, rechecker{}, func(ctx context.Context) (*api.DeleteInvites200Response, *http.Response, error) {
				return s.c.raw.IAMUsersAPI.DeleteInvites(ctx).Emails([]string{listed}).Execute()
			})
		},
		notYet: func(ctx context.Context) (string, error) {
			for other, listErr := range s.All(ctx) {
				if other == listed || listErr != nil {
					return other, listErr
				}
			}
			return "", nil
		},
		facts: func() []changedFact {
			facts := []changedFact{{allInvites, FoldEmail(listed), false}}
			for _, groupID := range in {
				facts = append(facts, memberFacts(groupID, []string{listed}, false)...)
			}
			return facts
		},
	})
	return err == nil, err
}

// maxGroupsForLog is how many groups are searched for an invite that is to be withdrawn,
// so that the log can name what goes with it.
const maxGroupsForLog = 50

// loses names what is lost with an invite, for the log: its groups, as far as they can be
// read. Its roles cannot. It also returns the ids of the groups.
func (s *InviteService) loses(ctx context.Context, email string) (string, []string) {
	const roles = ", and with it its roles, which cannot be read"
	var groups, in []string
	lost := func() string {
		if len(groups) == 0 {
			return roles
		}
		return roles + "; member of the groups " + strings.Join(groups, ", ")
	}
	searched := 0
	for group, err := range s.c.Groups.All(ctx) {
		if err == nil && searched < maxGroupsForLog {
			var isIn bool
			if isIn, err = s.isIn(ctx, group.ID, email); isIn {
				groups, in = append(groups, fmt.Sprintf("%q", group.Name)), append(in, group.ID)
			}
		}
		switch {
		case notInPlan(err) && searched == 0:
			return roles, nil
		case err != nil || searched == maxGroupsForLog:
			return lost() + "; not all groups were read", in
		}
		searched++
	}
	return lost(), in
}

// isIn reports whether an invite is in a group.
func (s *InviteService) isIn(ctx context.Context, groupID, email string) (bool, error) {
	for pending, err := range s.c.Groups.AllInvites(ctx, groupID) {
		switch {
		case gone(err):
			return false, nil
		case err != nil:
			return false, err
		case pending == email:
			return true, nil
		}
	}
	return false, nil
}
