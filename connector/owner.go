package connector

import (
	"context"
	"maps"
	"slices"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// noteOwner records that a user or group owns the workspace, if it does. A process
// does so once for all users and once for all groups.
func noteOwner(ctx context.Context, s syncstate.Sync, id *v2.ResourceId, holdings []holding) error {
	owns := func(h holding) bool { return h.Type == access.TypeRole && h.RoleName == segmentapi.RoleWorkspaceOwner }
	if !slices.ContainsFunc(holdings, owns) {
		return nil
	}
	mark := syncstate.OwnerSeen(id.GetResourceType())
	if _, kept, err := s.Marked(ctx, mark); kept || err != nil {
		return err
	}
	return s.Mark(ctx, mark, 1)
}

// checkOwner fails if nobody owns the workspace, although all users, groups and roles
// have been read. A workspace always has an owner, so the token does not see
// permissions, and the file would say that nobody has access. A group counts without
// members as well: its permissions were seen. If some users or groups have vanished,
// the owner may be one of them. Nor is anything known of owners if an earlier version
// began the sync.
func checkOwner(ctx context.Context, s syncstate.Sync) error {
	users, roles := syncstate.Ended(typeUser), syncstate.Ended(access.TypeRole)
	notedUsers, notedGroups := syncstate.OwnersNoted(typeUser), syncstate.OwnersNoted(typeGroup)
	ownedByUser, ownedByGroup := syncstate.OwnerSeen(typeUser), syncstate.OwnerSeen(typeGroup)
	marks, err := s.Marks(ctx, users, roles, notedUsers, notedGroups, ownedByUser, ownedByGroup)
	if err != nil {
		return err
	}
	has := func(m syncstate.Mark) bool { _, ok := marks[m]; return ok }
	if has(ownedByUser) || has(ownedByGroup) || marks[users] == 0 || !has(roles) || !has(notedUsers) || !has(notedGroups) {
		return nil
	}
	if gone, goneErr := s.AnyGone(ctx); gone || goneErr != nil {
		return goneErr
	}
	names, err := s.AllNames(ctx, access.TypeRole)
	if err != nil || !slices.Contains(slices.Collect(maps.Values(names)), segmentapi.RoleWorkspaceOwner) {
		return err
	}
	return status.Error(codes.FailedPrecondition,
		"no user and no group holds the role "+segmentapi.RoleWorkspaceOwner+": this token does not see permissions (a workspace always has an owner); use another token and a new file")
}
