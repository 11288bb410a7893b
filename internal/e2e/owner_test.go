package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	reader_v2 "github.com/conductorone/baton-sdk/pb/c1/reader/v2"
	"github.com/conductorone/baton-sdk/pkg/session"
	sdksync "github.com/conductorone/baton-sdk/pkg/sync"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"google.golang.org/grpc/codes"

	"github.com/baton-segment/baton-segment/connector/inprocess"
	"github.com/baton-segment/baton-segment/internal/sim"
)

const (
	// ownerName is the name of the role that each workspace has a holder of.
	ownerName = "Workspace Owner"
	// noOwnerMessage is in the error of a sync that sees no holder.
	noOwnerMessage = "this token does not see permissions (a workspace always has an owner); use another token and a new file"
)

// seesNoOwner reports whether a sync of these types fails, because everything has been
// read that could show an owner, and shows none.
func seesNoOwner(ws *sim.Workspace, types []string) bool {
	read := func(typeID string) bool { return slices.Contains(types, typeID) }
	// Roles are read with the types that they are held on as well.
	roles := slices.ContainsFunc([]string{typeRole, typeSource, typeWarehouse, typeFunction, typeSpace, typeLabel}, read)
	if len(ws.Users) == 0 || !read(typeUser) || !read(typeGroup) || !roles {
		return false
	}
	if !slices.ContainsFunc(ws.Roles, func(r sim.Role) bool { return r.Name == ownerName }) {
		return false
	}
	owns := func(permissions []sim.Permission) bool {
		return slices.ContainsFunc(permissions, func(p sim.Permission) bool {
			// A role that is not listed has the name that the permission gives it.
			name := p.RoleName
			for _, r := range ws.Roles {
				if r.ID == p.RoleID {
					name = r.Name
				}
			}
			return p.RoleID != "" && name == ownerName && slices.ContainsFunc(p.Resources, func(r sim.Resource) bool { return r.Type == "WORKSPACE" && len(r.Labels) == 0 })
		})
	}
	return !slices.ContainsFunc(ws.Users, func(u sim.User) bool { return owns(u.Permissions) }) &&
		!slices.ContainsFunc(ws.Groups, func(g sim.Group) bool { return owns(g.Permissions) })
}

// An ownerCase is a workspace whose owner may not be seen.
type ownerCase struct {
	edit func(*sim.Workspace)
	opts []sim.Option
	// types are those of the sync, or all.
	types []string
	// before is made when the first detail of a user is asked for.
	before func(*sim.Workspace)
	// storeless is a sync without a session store.
	storeless bool
	fails     bool
}

func ownerCases() map[string]ownerCase {
	permission := func(roleID string, r sim.Resource) []sim.Permission {
		return []sim.Permission{{RoleID: roleID, Resources: []sim.Resource{r}}}
	}
	noPermissions := func(ws *sim.Workspace) {
		for i := range ws.Users {
			ws.Users[i].Permissions = nil
		}
		for i := range ws.Groups {
			ws.Groups[i].Permissions = nil
		}
	}
	owned := func(change func(*sim.Workspace)) func(*sim.Workspace) {
		return func(ws *sim.Workspace) {
			noPermissions(ws)
			change(ws)
		}
	}
	omitted := []sim.Option{sim.WithNormalizing(sim.NormalizeOmitsPermissions)}
	return map[string]ownerCase{
		"details without permissions":        {opts: omitted, fails: true},
		"details with an empty list of them": {edit: noPermissions, fails: true},
		"an owner":                           {},
		"an owner, permissions in lists":     {opts: []sim.Option{sim.WithPermissionsInLists()}},
		"owner through a group":              {edit: owned(func(ws *sim.Workspace) { ws.Groups[0].Permissions = permission("owner", onWorkspace()) })},
		"owner through a group without members": {edit: owned(func(ws *sim.Workspace) {
			ws.Groups[0] = sim.Group{ID: "g1", Permissions: permission("owner", onWorkspace())}
		})},
		"owner of labels only": {fails: true, edit: owned(func(ws *sim.Workspace) {
			ws.Users[0].Permissions = permission("owner", onWorkspace(ws.Labels[0]))
		})},
		"owner of a source only": {fails: true, edit: owned(func(ws *sim.Workspace) {
			ws.Users[0].Permissions = permission("owner", onResource("SOURCE", "s1"))
		})},
		"other roles":              {fails: true, edit: owned(func(ws *sim.Workspace) { ws.Users[0].Permissions = permission("src", onWorkspace()) })},
		"no such role in the list": {edit: owned(func(ws *sim.Workspace) { ws.Roles = ws.Roles[1:] })},
		"no users":                 {edit: owned(func(ws *sim.Workspace) { ws.Users = nil })},
		"users alone":              {opts: omitted, types: []string{typeUser}},
		"without groups":           {opts: omitted, types: []string{typeUser, typeRole}},
		"without roles":            {opts: omitted, types: []string{typeUser, typeGroup}},
		"users, groups and roles":  {opts: omitted, types: []string{typeUser, typeGroup, typeRole}, fails: true},
		"the plan lacks groups":    {opts: append(slices.Clone(omitted), sim.WithoutFeatures(sim.FeatureGroups)), fails: true},
		"a user has vanished":      {opts: omitted, before: func(ws *sim.Workspace) { ws.Users = ws.Users[1:] }},
		"no session store":         {opts: omitted, storeless: true},
	}
}

// A sync fails if it has read all users, groups and roles, and sees no owner, and only
// then.
func TestSync_SeesNoOwner(t *testing.T) {
	t.Parallel()
	results := newTable("workspaces whose owner may not be seen", "case", "outcome", "message")
	pool := newSubtestPool(t)
	for name, c := range ownerCases() {
		pool.run(name, func(t *testing.T) {
			ws := gatedWorkspace()
			if c.edit != nil {
				c.edit(ws)
			}
			if c.types == nil {
				c.types = builtTypes()
			}
			s := serve(t, ws, c.opts...)
			if c.before != nil {
				if err := s.Before("getUser", 1, c.before); err != nil {
					t.Fatal(err)
				}
			}
			file := filepath.Join(t.TempDir(), "sync.c1z")
			var options []inprocess.Option
			if c.storeless {
				options = append(options, inprocess.WithSessionStore(func(sessions.SessionStore) sessions.SessionStore { return &session.NoOpSessionStore{} }))
			}
			for range 2 { // If the first run fails, another connector goes on with its file.
				err := newRunner(t.Context(), t, s, 0, options...).Sync(t.Context(), file, sdksync.WithSyncResourceTypes(c.types), sdksync.WithWorkerCount(4))
				o := outcome{err: err}
				if failed := err != nil; failed != c.fails {
					t.Fatalf("fails %t, want %t: %v", failed, c.fails, err)
				}
				if err == nil {
					results.add(name, name, complete, "")
					return
				}
				results.add(name, name, o.verdict(), o.message())
				checkNoOwner(t, err)
				if finished := finishedSyncs(t, file); finished != 0 {
					t.Errorf("%d finished syncs in the file", finished)
				}
			}
		})
	}
	pool.wait()
	results.log(t)
}

// finishedSyncs counts the finished syncs in a file, of any kind.
func finishedSyncs(t testingT, file string) int {
	t.Helper()
	store, n := openFile(t, file), 0
	for _, s := range pages(t, func(token string) ([]*reader_v2.SyncRun, string, error) {
		r, err := store.ListSyncs(t.Context(), reader_v2.SyncsReaderServiceListSyncsRequest_builder{PageToken: token}.Build())
		return r.GetSyncs(), r.GetNextPageToken(), err
	}) {
		if s.GetEndedAt() != nil {
			n++
		}
	}
	return n
}

// Each process of a sync looks for an owner: a run of the program that goes on with the
// file of another fails as well.
func TestProgram_SeesNoOwner(t *testing.T) {
	t.Parallel()
	s := serve(t, gatedWorkspace(), sim.WithNormalizing(sim.NormalizeOmitsPermissions))
	dir := t.TempDir()
	file := filepath.Join(dir, syncName)
	for i := range 3 {
		r := runIn(t, dir, s.Env(), program(t, "baton-segment"), "-f", file, "--log-level", "error")
		if r.code != int(codes.FailedPrecondition) || !strings.Contains(reason(t, r.stderr), noOwnerMessage) {
			t.Errorf("run %d: exit code %d\n%s", i, r.code, r.stderr)
		}
		if n := finishedSyncs(t, file); n != 0 {
			t.Errorf("run %d: %d finished syncs", i, n)
		}
	}
}
