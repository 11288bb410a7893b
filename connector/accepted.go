package connector

import (
	"context"
	"time"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// Segment may list an invite after it was accepted. The person is a user by then, and
// must not be in the file a second time, so the list of invites needs that of users. The
// SDK reads both lists at any time and in any order. The first of them that needs a page
// of users asks for it and keeps it in the session, and the other takes it from there, so
// that each page is asked for once. If the list of users has ended, its rows decide.

// The parts of the list of invites, after phaseInvites. The invites are read before the
// users, because without any there is nothing to compare. They are returned last.
const (
	phaseUsers   = "users"
	phasePending = "pending"
)

// pendingInvites reads the parts of the list of invites in one sync.
type pendingInvites struct {
	c *Connector
	s syncstate.Sync
}

// page returns the e-mails on one page of a part.
func (p pendingInvites) page(ctx context.Context, part string, o segmentapi.ListOptions) (*segmentapi.Page[string], error) {
	switch part {
	case phaseInvites:
		return p.invites(ctx, o)
	case phasePending:
		return p.keptInvites(ctx, o.Cursor)
	}
	if _, listed, err := p.s.Marked(ctx, syncstate.Ended(typeUser)); listed || err != nil {
		return &segmentapi.Page[string]{}, err
	}
	invited, err := p.invited(ctx)
	if err != nil || len(invited) == 0 {
		return &segmentapi.Page[string]{}, err
	}
	page, err := p.c.usersForInvites(ctx, p.s, o)
	if err != nil {
		return nil, err
	}
	var accepted []string
	for _, email := range page.Items {
		if email != "" && invited[segmentapi.FoldEmail(email)] {
			accepted = append(accepted, email)
		}
	}
	return page, p.s.AddAccepted(ctx, typeInvite, accepted)
}

// shown selects the invites to return: none before all users are known.
func (p pendingInvites) shown(ctx context.Context, s syncstate.Sync, part string, emails []string) ([]string, int, error) {
	if part != phasePending {
		return nil, 0, nil
	}
	accepted, err := acceptedOf(ctx, s, emails)
	if err != nil {
		return nil, 0, err
	}
	var shown []string
	example := ""
	for _, email := range emails {
		if accepted[email] {
			example = email
		} else {
			shown = append(shown, email)
		}
	}
	logLeftOut(ctx, s, whyAccepted, example, len(emails)-len(shown))
	return shown, len(emails), nil
}

// acceptedOf returns those of emails that are users'. If the list of users has ended, they
// are those of listed users: somebody who became a user after that is in no list of users.
func acceptedOf(ctx context.Context, s syncstate.Sync, emails []string) (map[string]bool, error) {
	_, listed, err := s.Marked(ctx, syncstate.Ended(typeUser))
	if err != nil {
		return nil, err
	} else if !listed {
		return s.Accepted(ctx, typeInvite, emails)
	}
	users, err := s.IDsByEmail(ctx, typeUser, emails)
	accepted := make(map[string]bool, len(users))
	for email := range users {
		accepted[email] = true
	}
	return accepted, err
}

// askInvites asks for a page of invites.
func (c *Connector) askInvites(ctx context.Context, o segmentapi.ListOptions) (*segmentapi.Page[string], error) {
	return asking(c, whatLists(typeInvite), c.client.Invites.List)(ctx, o)
}

// invites asks for a page of invites and keeps it.
func (p pendingInvites) invites(ctx context.Context, o segmentapi.ListOptions) (*segmentapi.Page[string], error) {
	read := time.Now()
	page, err := p.c.askInvites(ctx, o)
	if err != nil {
		return nil, err
	}
	return page, syncstate.KeepPage(ctx, p.s, typeInvite, typeInvite, o.Cursor, syncstate.Page[string]{Rows: page.Items, Next: page.Next, Read: read})
}

// keptInvites returns a page that invites kept. One that was not kept is asked for again.
func (p pendingInvites) keptInvites(ctx context.Context, cursor string) (*segmentapi.Page[string], error) {
	page, ok, err := syncstate.KeptPage[string](ctx, p.s, typeInvite, typeInvite, cursor)
	if err != nil {
		return nil, err
	} else if !ok {
		return p.c.askInvites(ctx, segmentapi.ListOptions{Cursor: cursor})
	}
	return &segmentapi.Page[string]{Items: page.Rows, Next: page.Next}, nil
}

// invited returns the folded e-mails of all invites, which the first part has read.
func (p pendingInvites) invited(ctx context.Context) (map[string]bool, error) {
	list := func(ctx context.Context, o segmentapi.ListOptions) (*segmentapi.Page[string], error) {
		return p.keptInvites(ctx, o.Cursor)
	}
	rows, err := readRows(ctx, whatLists(typeInvite), list, func(email string) syncstate.Row { return syncstate.Row{Email: email} })
	emails := map[string]bool{}
	for _, row := range rows {
		emails[segmentapi.FoldEmail(row.Email)] = true
	}
	return emails, err
}

// usersFor returns a page of users for the list of a type: the page that the list of the
// other type asked for and kept, or else Segment's answer. Of that it keeps what the
// other list needs of each user.
func (c *Connector) usersFor(
	ctx context.Context, s syncstate.Sync, typeID, other string, needs func(segmentapi.User) segmentapi.User, o segmentapi.ListOptions,
) (*segmentapi.Page[segmentapi.User], error) {
	done, err := s.Turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	kept, ok, err := syncstate.FreshPage[segmentapi.User](ctx, s, other, typeUser, o.Cursor)
	if err != nil {
		return nil, err
	} else if ok {
		return &segmentapi.Page[segmentapi.User]{Items: kept.Rows, Next: kept.Next}, nil
	}
	read := time.Now()
	page, err := asking(c, whatLists(typeUser), c.client.Users.List)(ctx, o)
	if err != nil {
		return nil, err
	}
	rows := make([]segmentapi.User, len(page.Items))
	for i, user := range page.Items {
		rows[i] = needs(user)
	}
	return page, syncstate.KeepPage(ctx, s, typeID, typeUser, o.Cursor, syncstate.Page[segmentapi.User]{Rows: rows, Next: page.Next, Read: read})
}

// usersForUsers returns a page for the list of users.
func (c *Connector) usersForUsers(ctx context.Context, s syncstate.Sync, o segmentapi.ListOptions) (*segmentapi.Page[segmentapi.User], error) {
	return c.usersFor(ctx, s, typeUser, typeInvite, func(u segmentapi.User) segmentapi.User { return segmentapi.User{Email: u.Email} }, o)
}

// usersForInvites returns the e-mails on a page for the list of invites.
func (c *Connector) usersForInvites(ctx context.Context, s syncstate.Sync, o segmentapi.ListOptions) (*segmentapi.Page[string], error) {
	page, err := c.usersFor(ctx, s, typeInvite, typeUser, func(u segmentapi.User) segmentapi.User { return u }, o)
	if err != nil {
		return nil, err
	}
	emails := make([]string, len(page.Items))
	for i, user := range page.Items {
		emails[i] = user.Email
	}
	return &segmentapi.Page[string]{Items: emails, Next: page.Next}, nil
}
