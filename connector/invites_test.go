package connector

import (
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/google/go-cmp/cmp"
)

// The row of an invite has only the address, which is all that is known of the
// person.
func TestList_Invite(t *testing.T) {
	t.Parallel()
	invite := rowWithID(t, newFixture(t, small()).listAll(t)[typeInvite], "new@example.com")
	if diff := cmp.Diff(map[string]any{"email": "new@example.com", "workspace_id": workspaceID}, invite.GetProfile().AsMap()); diff != "" {
		t.Errorf("profile (-want +got):\n%s", diff)
	}
	trait := must(rs.GetUserTrait(invite))(t)
	if trait.GetLogin() != "new@example.com" || len(trait.GetEmails()) != 1 {
		t.Errorf("trait is %v", trait)
	}
	//nolint:staticcheck // Deprecated, and still what baton's own actions read.
	if s := trait.GetStatus(); s.GetStatus() != v2.UserTrait_Status_STATUS_PENDING || s.GetDetails() != "invitation pending" {
		t.Errorf("status of the trait is %v", s)
	}
	if s := invite.GetStatus(); s.GetStatus() != v2.Status_RESOURCE_STATUS_PENDING || s.GetDetails() != "invitation pending" {
		t.Errorf("status is %v", s)
	}
}
