package connector

import (
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/google/go-cmp/cmp"
)

// The row of a user has the profile, the trait and the status.
func TestList_User(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small())
	user := rowWithID(t, f.listAll(t)[typeUser], "u1")
	want := map[string]any{"user_id": "u1", "email": "Ada@Example.com", "first_name": "Ada", "last_name": "Lovelace King", "workspace_id": workspaceID}
	if diff := cmp.Diff(want, user.GetProfile().AsMap()); diff != "" {
		t.Errorf("profile (-want +got):\n%s", diff)
	}
	trait := must(rs.GetUserTrait(user))(t)
	if trait.GetLogin() != "Ada@Example.com" || len(trait.GetEmails()) != 1 || !trait.GetEmails()[0].GetIsPrimary() {
		t.Errorf("trait is %v", trait)
	}
	//nolint:staticcheck // Deprecated, and still what baton's own actions read.
	if trait.GetStatus().GetStatus() != v2.UserTrait_Status_STATUS_ENABLED {
		t.Errorf("status of the trait is %v", trait.GetStatus())
	}
	if user.GetStatus().GetStatus() != v2.Status_RESOURCE_STATUS_ENABLED {
		t.Errorf("status is %v", user.GetStatus())
	}
}
