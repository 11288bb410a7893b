package e2e

import (
	"slices"
	"strings"
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// Every role and every membership that a file shows, odd as the workspace may
// be, can be revoked by what stands in the file, and with it goes exactly what
// the row was made of. What is only derived, and what Segment cannot change, is
// refused.
func TestWhateverIsShownCanBeRevoked(t *testing.T) {
	t.Parallel()
	ws := sim.Hostile()
	// The rule of the last owner is not what this is about.
	ws.Users = append(ws.Users, sim.User{ID: "user-second-owner", Email: "second-owner@example.com", Permissions: slices.Clone(ws.Users[0].Permissions)})
	verdicts := map[codes.Code]int{}
	for _, g := range readFile(t, syncFile(t, serve(t, ws))).grants {
		row := grantRow(t, g)
		if strings.HasPrefix(row.Entitlement, typeWorkspace+":") { // A user who is gone takes more along.
			continue
		}
		want := sim.New(ws).Workspace()
		wantCode := revokeRow(want, row)
		s := serve(t, ws)
		err := revokeInProcess(t, s, g)
		if got := status.Code(err); got != wantCode {
			t.Errorf("%s: %v, want %v", row.ID, err, wantCode)
		}
		if diff := cmp.Diff(stateOf(want), stateOf(s.Workspace()), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s leaves the workspace (-want +got):\n%s", row.ID, diff)
		}
		verdicts[wantCode]++
	}
	t.Logf("grants by the answer to their revocation: %v", verdicts)
	if verdicts[codes.OK] == 0 || verdicts[codes.FailedPrecondition] == 0 || verdicts[codes.Unimplemented] == 0 {
		t.Error("some answer never came")
	}
}

// revokeInProcess revokes as a service does that embeds the connector.
func revokeInProcess(t *testing.T, s server, g *v2.Grant) error {
	t.Helper()
	_, err := embed(t.Context(), t, s, 0).Client().Revoke(t.Context(), v2.GrantManagerServiceRevokeRequest_builder{Grant: g}.Build())
	return err
}

// revokeRow makes of ws what revoking a row should leave of it.
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
	held := heldBy(ws, principal, id)
	before := heldSet(*held)
	o := &oracle{ws: ws}
	var left []sim.Permission
	for _, p := range *held {
		p.Resources = slices.DeleteFunc(slices.Clone(p.Resources), func(r sim.Resource) bool {
			t, _, ok := o.target(p, r)
			return ok && t.entitlement() == row.Entitlement
		})
		left = append(left, p)
	}
	if slices.Equal(heldSet(left), before) { // A group's to lose.
		return codes.FailedPrecondition
	}
	if len(heldSet(left)) == 0 {
		role := ws.Roles[slices.IndexFunc(ws.Roles, func(r sim.Role) bool { return r.Name == "Minimal Workspace Access" })]
		left = []sim.Permission{{RoleID: role.ID, Resources: []sim.Resource{at("WORKSPACE", ws.ID)}}}
	}
	if slices.Equal(heldSet(left), before) { // The least that there is.
		return codes.FailedPrecondition
	}
	*held = left
	return codes.OK
}
