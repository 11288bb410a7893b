package segmentapi_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// The constants are the names of the roles that the API lists and the documentation has.
// The API also lists two that are not documented.
func TestRoleNames(t *testing.T) {
	t.Parallel()
	c := connect(t, sim.New(sim.Demo()))
	var listed []string
	for role, err := range c.Roles.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, role.Name)
	}
	constants := []string{
		segmentapi.RoleWorkspaceOwner, segmentapi.RoleMinimalWorkspaceAccess, segmentapi.RoleSourceAdmin, segmentapi.RoleSourceReadOnly,
		segmentapi.RoleFunctionsAdmin, segmentapi.RoleFunctionsReadOnly, segmentapi.RoleWarehouseDestinationAdmin, segmentapi.RoleWarehouseDestinationReadOnly,
		segmentapi.RoleUnifyAndEngageAdmin, segmentapi.RoleUnifyAndEngageReadOnly, segmentapi.RoleUnifyReadOnlyEngageUser, segmentapi.RoleIdentityAdmin,
		segmentapi.RoleEntitiesAdmin, segmentapi.RoleEntitiesReadOnly, segmentapi.RoleTrackingPlanAdmin, segmentapi.RoleTrackingPlanReadOnly,
		segmentapi.RoleEndUserPrivacyAdmin, segmentapi.RolePIIAccess,
	}
	want := slices.Concat(constants, []string{"Observability Admin", "Observability Read-only"})
	slices.Sort(want)
	slices.Sort(listed)
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("roles (-constants +listed):\n%s", diff)
	}
}
