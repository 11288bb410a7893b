package connector

import (
	"context"
	"strings"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// inviteSyncer serves pending invites. Segment names them by e-mail and does
// not say what they will give.
type inviteSyncer struct{ typed }

func newInviteSyncer(c *Connector, k *kind) connectorbuilder.ResourceSyncerV2 {
	return &inviteSyncer{typed{c: c, kind: k}}
}

var (
	_ connectorbuilder.ResourceTargetedSyncerLimited = (*inviteSyncer)(nil)
	_ connectorbuilder.AccountManagerV2              = (*inviteSyncer)(nil)
	_ connectorbuilder.ResourceDeleterV2             = (*inviteSyncer)(nil)
)

// List returns the invites that are pending: those whose address is no user's. A page
// makes one request at most. Without a session store List returns all invites.
func (i *inviteSyncer) List(ctx context.Context, _ *v2.ResourceId, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	invites := listing[string]{
		kind: i.kind,
		page: func(ctx context.Context, _ string, o segmentapi.ListOptions) (*segmentapi.Page[string], error) {
			return i.c.askInvites(ctx, o)
		},
		resource: inviteResource,
		email:    func(email string) string { return email },
	}
	s := i.c.tracker.Open(opts, segmentapi.FoldEmail)
	if usable, err := s.Usable(ctx); err != nil {
		return nil, nil, err
	} else if usable {
		pending := pendingInvites{c: i.c, s: s}
		invites.parts = []string{phaseInvites, phaseUsers, phasePending}
		invites.page, invites.shown = pending.page, pending.shown
	}
	return invites.read(ctx, i.c, opts)
}

// Get returns one invite. Segment serves no single one, so it reads the list
// of all, page by page.
func (i *inviteSyncer) Get(ctx context.Context, id, _ *v2.ResourceId) (*v2.Resource, annotations.Annotations, error) {
	return get(ctx, i.c, id, func(ctx context.Context, id string) (*string, error) {
		for email, err := range i.c.patient.Invites.All(ctx) {
			if err != nil || email == id {
				return &email, err
			}
		}
		return nil, segmentapi.ErrNotFound
	}, inviteResource)
}

// Delete withdraws an invite.
func (i *inviteSyncer) Delete(ctx context.Context, id, _ *v2.ResourceId) (annotations.Annotations, error) {
	return i.c.deleteByID(ctx, id, typeInvite, i.c.patient.Invites.Delete)
}

func inviteResource(workspace, email string) (*v2.Resource, error) {
	shown := clip(strings.TrimSpace(email), maxDisplayName)
	// WithResourceStatus alone would leave the trait enabled. This sets both.
	pending := rs.WithDetailedStatus(v2.UserTrait_Status_STATUS_PENDING, "invitation pending") //nolint:staticcheck // Deprecated, see above.
	return checked(rs.NewUserResource(displayName(shown), inviteType.message(), email, append(emailTraits(shown), pending),
		rs.WithResourceProfile(map[string]any{"email": shown, fieldWorkspace: workspace}),
	))
}
