package e2e

import (
	"slices"
	"strings"
	"sync"
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// Every role and every membership in a file can be revoked with the row of the
// file, and the revocation removes exactly the permissions that the row stands
// for. Grants that are only derived, or that Segment cannot change, are refused.
func TestInProcess_RevokeEveryGrant(t *testing.T) {
	t.Parallel()
	ws := sim.Hostile()
	// A second owner, so that the rule about the last one does not apply.
	ws.Users = append(ws.Users, sim.User{ID: "user-second-owner", Email: "second-owner@example.com", Permissions: slices.Clone(ws.Users[0].Permissions)})
	outcomes := map[codes.Code]int{}
	var mu sync.Mutex
	grants := readFile(t, sharedSync(t, ws)).grants
	var running errgroup.Group
	running.SetLimit(16) // A revocation waits for a second before it looks again.
	for _, g := range grants {
		row := grantRow(t, g)
		if strings.HasPrefix(row.Entitlement, typeWorkspace+":") { // Removing a user removes more than one grant.
			continue
		}
		running.Go(func() error {
			want := sim.New(ws).Workspace()
			wantCode := revokeRow(want, row)
			if strings.HasSuffix(row.ID, ":user-malformed") { // A role on no resource, which Segment could not be told to keep.
				want, wantCode = sim.New(ws).Workspace(), codes.FailedPrecondition
			}
			s := serve(t, ws)
			err := revokeInProcess(t, s, g)
			if got := status.Code(err); got != wantCode {
				t.Errorf("%s: %v, want %v", row.ID, err, wantCode)
			}
			if diff := cmp.Diff(stateOf(want), stateOf(s.Workspace()), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s leaves the workspace (-want +got):\n%s", row.ID, diff)
			}
			mu.Lock()
			defer mu.Unlock()
			outcomes[wantCode]++
			return nil
		})
	}
	if err := running.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("grants by the answer to their revocation: %v", outcomes)
	if outcomes[codes.OK] == 0 || outcomes[codes.FailedPrecondition] == 0 || outcomes[codes.Unimplemented] == 0 {
		t.Error("one of the outcomes did not occur")
	}
}

// revokeInProcess revokes as a program that embeds the connector does.
func revokeInProcess(t *testing.T, s server, g *v2.Grant) error {
	t.Helper()
	_, err := newRunner(t.Context(), t, s, 0).Client().Revoke(t.Context(), v2.GrantManagerServiceRevokeRequest_builder{Grant: g}.Build())
	return err
}

// revokeRow edits ws as the revocation of a row must, and returns its code.
func revokeRow(ws *sim.Workspace, row grant) codes.Code {
	principal, id, _ := strings.Cut(row.Principal, ":")
	on, rest, _ := strings.Cut(row.Entitlement, ":")
	switch on {
	case typeWarehouse:
		return codes.Unimplemented
	case typeGroup:
		email := id
		if i := slices.IndexFunc(ws.Users, func(u sim.User) bool { return principal == typeUser && u.ID == id }); i >= 0 {
			email = ws.Users[i].Email
		}
		g := slices.IndexFunc(ws.Groups, func(g sim.Group) bool { return rest == g.ID+":member" })
		ws.Groups[g].Members = slices.DeleteFunc(ws.Groups[g].Members, func(m string) bool { return strings.EqualFold(m, email) })
		return codes.OK
	}
	held := permissionsOf(ws, principal, id)
	before := permissionSet(*held)
	o := &oracle{ws: ws}
	var left []sim.Permission
	for _, p := range *held {
		p.Resources = slices.DeleteFunc(slices.Clone(p.Resources), func(r sim.Resource) bool {
			t, _, ok := o.target(p, r)
			return ok && t.entitlement() == row.Entitlement
		})
		left = append(left, p)
	}
	if slices.Equal(permissionSet(left), before) { // Only a group holds it.
		return codes.FailedPrecondition
	}
	if len(permissionSet(left)) == 0 {
		role := ws.Roles[slices.IndexFunc(ws.Roles, func(r sim.Role) bool { return r.Name == "Minimal Workspace Access" })]
		left = []sim.Permission{{RoleID: role.ID, Resources: []sim.Resource{onResource("WORKSPACE", ws.ID)}}}
	}
	if slices.Equal(permissionSet(left), before) { // It was the minimal role already.
		return codes.FailedPrecondition
	}
	*held = left
	return codes.OK
}
