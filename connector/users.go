package connector

import (
	"context"
	"strings"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// userSyncer serves people, and what they hold themselves.
type userSyncer struct{ typed }

func newUserSyncer(c *Connector, k *kind) connectorbuilder.ResourceSyncerV2 {
	return &userSyncer{typed{c: c, kind: k}}
}

var (
	_ connectorbuilder.ResourceTargetedSyncerLimited = (*userSyncer)(nil)
	_ connectorbuilder.ResourceDeleterV2             = (*userSyncer)(nil)
)

// List returns one page of users: one request.
func (u *userSyncer) List(ctx context.Context, _ *v2.ResourceId, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	s := u.c.tracker.Open(opts, segmentapi.FoldEmail)
	return listing[segmentapi.User]{
		kind: u.kind,
		page: func(ctx context.Context, _ string, o segmentapi.ListOptions) (*segmentapi.Page[segmentapi.User], error) {
			return u.c.usersForUsers(ctx, s, o)
		},
		resource: userResource,
		email:    func(user segmentapi.User) string { return user.Email },
		keep: func(ctx context.Context, s syncstate.Sync, users []segmentapi.User) error {
			return keepListed(ctx, u.c, s, u.kind, users, func(user segmentapi.User) (string, []segmentapi.Permission) {
				return user.ID, user.Permissions
			})
		},
	}.read(ctx, u.c, opts)
}

// Get returns one user: one request.
func (u *userSyncer) Get(ctx context.Context, id, _ *v2.ResourceId) (*v2.Resource, annotations.Annotations, error) {
	return get(ctx, u.c, id, u.c.patient.Users.Get, userResource)
}

// Entitlements makes the user's one detail request.
func (u *userSyncer) Entitlements(ctx context.Context, r *v2.Resource, opts rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	return u.c.entitlements(ctx, r.GetId(), opts, subjectReader{
		detail:   u.detail,
		memberOf: typeWorkspace,
		membership: func(workspace string) *v2.Entitlement {
			return kindOf(typeWorkspace).only.of(stub(typeWorkspace, workspace))
		},
	})
}

// Grants returns the membership in the workspace and what the user holds.
func (u *userSyncer) Grants(ctx context.Context, r *v2.Resource, opts rs.SyncOpAttrs) ([]*v2.Grant, *rs.SyncOpResults, error) {
	token, err := parsePageToken(opts.PageToken.Token, phaseUnlisted)
	if err != nil {
		return nil, nil, err
	}
	s, workspace, err := u.c.openSync(ctx, opts)
	if err != nil {
		return nil, nil, err
	}
	if err = report(ctx, s); err != nil {
		return nil, nil, err
	}
	sub, err := u.c.subject(ctx, s, r.GetId(), u.detail)
	if err != nil || sub.gone() {
		return nil, nil, err
	}
	memberships := []*v2.Grant{newGrant(typeWorkspace, workspace, slugMember, r.GetId())}
	return u.c.subjectGrants(ctx, s, r.GetId(), workspace, sub, memberships, token)
}

func (u *userSyncer) detail(ctx context.Context, id string) ([]segmentapi.Permission, error) {
	user, err := u.c.client.Users.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return user.Permissions, nil
}

// Delete removes a user from the workspace. The person's Segment account stays.
func (u *userSyncer) Delete(ctx context.Context, id, _ *v2.ResourceId) (annotations.Annotations, error) {
	return u.c.deleteByID(ctx, id, typeUser, u.c.patient.Users.Remove)
}

func userResource(workspace string, u segmentapi.User) (*v2.Resource, error) {
	name := clip(strings.TrimSpace(u.Name), maxDisplayName)
	email := clip(strings.TrimSpace(u.Email), maxDisplayName)
	first, last, _ := strings.Cut(name, " ")
	return checked(rs.NewUserResource(displayName(name, email, u.ID), userType.message(), u.ID, emailTraits(email),
		rs.WithResourceProfile(map[string]any{
			"user_id":      u.ID,
			"email":        email,
			"first_name":   first,
			"last_name":    strings.TrimSpace(last),
			fieldWorkspace: workspace,
		}),
		rs.WithResourceStatus(v2.Status_RESOURCE_STATUS_ENABLED, ""),
	))
}

// emailTraits are the login and e-mail by which people are recognized in other
// systems. Invites have the same, so that an invite can be matched with the user
// that it becomes.
func emailTraits(email string) []rs.UserTraitOption {
	traits := []rs.UserTraitOption{rs.WithUserLogin(email)}
	// The SDK refuses a row with an address that it does not take for one.
	if (v2.UserTrait_Email_builder{Address: email}).Build().Validate() == nil {
		traits = append(traits, rs.WithEmail(email, true))
	}
	return traits
}
