package segmentapi_test

import (
	"net/http"
	"testing"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// Assignments in the form of holds.
const (
	heldMinimal = minimal + " " + wholeWorkspace
	heldOwner   = owner + " " + wholeWorkspace
	heldAdmin   = admin + " " + wholeWorkspace
)

// setPermissions makes a user or a group hold nothing but these permissions.
func setPermissions(ws *sim.Workspace, id string, held ...sim.Permission) {
	editPermissions(ws, id, func([]sim.Permission) []sim.Permission { return held })
}

// demoteV is what another administrator does in tests of the last owner.
func demoteV(ws *sim.Workspace) { setPermissions(ws, "v", on(minimal, wholeWorkspace)) }

// ownersUAndV has the owners u and v. If throughGroup is set, u is one as a member of
// the group "group".
func ownersUAndV(throughGroup bool) *sim.Workspace {
	return ownerWorkspace(func(ws *sim.Workspace) {
		makeOwner(ws, "v")
		if throughGroup {
			addGroup(ws, "group", "u@example.com")
		} else {
			makeOwner(ws, "u")
		}
	})
}

// connectThrough returns a client with the default settle time whose requests are sent
// by a function.
func connectThrough(t *testing.T, srv *sim.Server, send transportFunc, opts ...segmentapi.Option) *segmentapi.Client {
	t.Helper()
	all := []segmentapi.Option{segmentapi.WithHTTPClient(&http.Client{Transport: send}), unspacedWrites()}
	c, err := segmentapi.New(srv.Token(), append(all, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
