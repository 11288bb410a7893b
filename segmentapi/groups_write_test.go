package segmentapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// leastAccess is what a new group holds in the simulator.
func leastAccess() []segmentapi.Permission {
	a := assigned(minimal, wholeWorkspace)
	a.RoleName = "Minimal Workspace Access"
	return segmentapi.Permissions([]segmentapi.Assignment{a})
}

func makesGroup(id, name string) func(*sim.Workspace) {
	return func(ws *sim.Workspace) {
		ws.Groups = append(ws.Groups, sim.Group{ID: id, Name: name, Permissions: []sim.Permission{on(minimal, wholeWorkspace)}})
	}
}

func renames(group int, name string) func(*sim.Workspace) {
	return func(ws *sim.Workspace) { ws.Groups[group].Name = name }
}

func TestGroupsCreate(t *testing.T) {
	t.Parallel()
	ws := inviting()
	srv := sim.New(ws)
	c := connect(t, srv, unspacedWrites())
	made, err := c.Groups.Create(t.Context(), "New group")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&segmentapi.Group{ID: made.ID, Name: "New group", Permissions: leastAccess()}, made); diff != "" || made.ID == "" {
		t.Errorf("group (-want +got):\n%s", diff)
	}
	expectOrder(t, srv, "listUserGroups", "createUserGroup", "getUserGroup")
	expectWorkspace(t, srv, ws, makesGroup(made.ID, "New group"))

	start := srv.Workspace()
	dry := connect(t, srv, segmentapi.WithDryRun())
	for _, client := range []*segmentapi.Client{c, dry} {
		for name, id := range map[string]string{"New group": made.ID, "NEW Group": made.ID, "Other": "h", "group": "g"} {
			srv.ResetJournal()
			again, refusal := client.Groups.Create(t.Context(), name)
			if again != nil || !errors.Is(refusal, segmentapi.ErrConflict) || !strings.Contains(refusal.Error(), "group "+id+" already has the name") {
				t.Errorf("%s: %v, %v", name, again, refusal)
			}
			expectOrder(t, srv, "listUserGroups")
		}
	}
	srv.ResetJournal()
	made, err = dry.Groups.Create(t.Context(), "Newer")
	if diff := cmp.Diff(&segmentapi.Group{Name: "Newer"}, made); err != nil || diff != "" {
		t.Errorf("dry run: %v, group (-want +got):\n%s", err, diff)
	}
	expectOrder(t, srv, "listUserGroups")
	expectWorkspace(t, srv, start, nil)
}

func TestGroupsCreateRename_InvalidArgument(t *testing.T) {
	t.Parallel()
	srv := sim.New(inviting())
	for _, opts := range [][]segmentapi.Option{nil, {segmentapi.WithDryRun()}} {
		c := connect(t, srv, opts...)
		for _, name := range []string{"", " ", "\t\n", " New", "New ", "New\ngroup", "New\x00", "New\x7f"} {
			if made, err := c.Groups.Create(t.Context(), name); made != nil || !errors.Is(err, segmentapi.ErrInvalidArgument) {
				t.Errorf("create %q: %v, %v", name, made, err)
			}
			if renamed, err := c.Groups.Rename(t.Context(), "g", name); renamed != nil || !errors.Is(err, segmentapi.ErrInvalidArgument) {
				t.Errorf("rename to %q: %v, %v", name, renamed, err)
			}
		}
		for _, id := range []string{"", ".", "..", strings.Repeat("x", 256)} {
			if renamed, err := c.Groups.Rename(t.Context(), id, "New"); renamed != nil || !errors.Is(err, segmentapi.ErrInvalidArgument) {
				t.Errorf("rename of %q: %v, %v", id, renamed, err)
			}
		}
	}
	if got := simtest.Operations(srv.Journal()); len(got) != 0 {
		t.Errorf("requests %v", got)
	}
}

// How a write of a group's name can fail. POST is never sent again, PATCH is
// where Segment may repeat it.
func nameFaults() map[string]nameFault {
	return map[string]nameFault{
		"dropped after":       {fault: sim.Fault{Kind: sim.FaultDrop}, patches: 1},
		"500 after":           {fault: sim.Fault{Kind: sim.FaultLateStatus, Status: 500}, patches: 1},
		"503 after":           {fault: sim.Fault{Kind: sim.FaultLateStatus, Status: 503}, patches: 1},
		"408 after":           {fault: sim.Fault{Kind: sim.FaultLateStatus, Status: 408}, patches: 1},
		"text after":          {fault: sim.Fault{Kind: sim.FaultContentType}, patches: 1},
		"429 before":          {fault: sim.Fault{Kind: sim.FaultStatus, Status: 429}, posts: 2, patches: 2},
		"reset before":        {fault: sim.Fault{Kind: sim.FaultReset}, posted: segmentapi.ErrConnection, patches: 2},
		"503 before":          {fault: sim.Fault{Kind: sim.FaultStatus, Status: 503}, posted: segmentapi.ErrServer, patches: 2},
		"500 before":          {fault: sim.Fault{Kind: sim.FaultStatus, Status: 500}, posted: segmentapi.ErrServer, patched: segmentapi.ErrServer, patches: 1},
		"200 before, nothing": {fault: sim.Fault{Kind: sim.FaultEmptyObject}, posted: segmentapi.ErrUnconfirmed, patched: segmentapi.ErrUnconfirmed, patches: 1},
		"403":                 {fault: sim.Fault{Kind: sim.FaultStatus, Status: 403}, posted: segmentapi.ErrForbidden, patched: segmentapi.ErrForbidden, patches: 1},
		"409":                 {fault: sim.Fault{Kind: sim.FaultStatus, Status: 409}, posted: segmentapi.ErrConflict, patched: segmentapi.ErrConflict, patches: 1},
		"422":                 {fault: sim.Fault{Kind: sim.FaultStatus, Status: 422}, posted: segmentapi.ErrInvalid, patched: segmentapi.ErrInvalid, patches: 1},
	}
}

type nameFault struct {
	fault sim.Fault
	// The errors of a POST and a PATCH that fail this way, and how often each is sent;
	// 0 posts means 1.
	posted, patched error
	posts, patches  int
}

// However the write fails, there is at most one group, and the caller gets it.
func TestGroupsCreate_FailedWrites(t *testing.T) {
	t.Parallel()
	for name, c := range nameFaults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ws := inviting()
				srv := sim.New(ws)
				c.fault.Operation, c.fault.Ordinal = "createUserGroup", 1
				simtest.Inject(t, srv, c.fault)
				made, err := connect(t, srv).Groups.Create(t.Context(), "New")
				if got := simtest.Count(srv.Journal())["createUserGroup"]; got != max(1, c.posts) {
					t.Errorf("%d requests", got)
				}
				if c.posted != nil {
					if made != nil || !errors.Is(err, c.posted) {
						t.Errorf("%v, %v", made, err)
					}
					expectWorkspace(t, srv, ws, nil)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(&segmentapi.Group{ID: made.ID, Name: "New", Permissions: leastAccess()}, made); diff != "" {
					t.Errorf("group (-want +got):\n%s", diff)
				}
				expectWorkspace(t, srv, ws, makesGroup(made.ID, "New"))
			})
		})
	}
}

// A group of the same name that someone else creates at the same moment is not taken
// for ours.
func TestGroupsCreate_CreatedByOthersMeanwhile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault *sim.Fault
		want  error
	}{
		"ours as well":               {},
		"ours refused":               {&sim.Fault{Kind: sim.FaultStatus, Status: 409}, segmentapi.ErrConflict},
		"ours refused with 422":      {&sim.Fault{Kind: sim.FaultStatus, Status: 422}, segmentapi.ErrInvalid},
		"ours as well, answer lost":  {&sim.Fault{Kind: sim.FaultDrop}, segmentapi.ErrConnection},
		"ours as well, error after":  {&sim.Fault{Kind: sim.FaultLateStatus, Status: 500}, segmentapi.ErrServer},
		"ours not allowed":           {&sim.Fault{Kind: sim.FaultStatus, Status: 403}, segmentapi.ErrForbidden},
		"ours beyond what is waited": {&sim.Fault{Kind: sim.FaultStatus, Status: 429}, segmentapi.ErrRateLimited},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := inviting()
			srv := sim.New(ws)
			simtest.Before(t, srv, "createUserGroup", 1, makesGroup("theirs", "New"))
			if c.fault != nil {
				c.fault.Operation = "createUserGroup"
				simtest.Inject(t, srv, *c.fault)
			}
			made, err := connect(t, srv, unspacedWrites(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1})).Groups.Create(t.Context(), "New")
			if !errors.Is(err, c.want) || (made == nil) != (c.want != nil) || made != nil && made.ID == "theirs" {
				t.Errorf("%v, %v", made, err)
			}
		})
	}
}

// Many callers that create a group of the same name create one.
func TestGroupsCreate_ManyAtOnce(t *testing.T) {
	t.Parallel()
	srv := sim.New(inviting())
	c := connect(t, srv, unspacedWrites())
	made := make(chan string, 20)
	var calls sync.WaitGroup
	for i := range 20 {
		calls.Go(func() {
			group, err := c.Groups.Create(t.Context(), []string{"New", "NEW"}[i%2])
			switch {
			case err == nil:
				made <- group.ID
			case !errors.Is(err, segmentapi.ErrConflict):
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if len(made) != 1 || simtest.Count(srv.Journal())["createUserGroup"] != 1 || len(srv.Workspace().Groups) != 3 {
		t.Errorf("%d made, writes %v", len(made), simtest.Writes(srv.Journal()))
	}
}

func TestGroupsRename(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		start    func(*sim.Workspace)
		id, name string
		want     error
		requests []string // Before the write, if there is one.
		changed  func(*sim.Workspace)
	}{
		"new name":        {id: "g", name: "New", requests: []string{"listUserGroups", "getUserGroup"}, changed: renames(0, "New")},
		"other case":      {id: "g", name: "GROUP", requests: []string{"listUserGroups", "getUserGroup"}, changed: renames(0, "GROUP")},
		"the name it has": {id: "g", name: "Group", requests: []string{"listUserGroups", "getUserGroup"}},
		"the name it has, as another": {
			start: makesGroup("twin", "Group"), id: "g", name: "Group", requests: []string{"listUserGroups", "getUserGroup"},
		},
		"the name of another": {id: "g", name: "Other", want: segmentapi.ErrConflict, requests: []string{"listUserGroups", "getUserGroup"}},
		"the name of another in other case": {
			id: "g", name: "oTHER", want: segmentapi.ErrConflict, requests: []string{"listUserGroups", "getUserGroup"},
		},
		"a group that is gone": {id: "gone", name: "New", want: segmentapi.ErrNotFound, requests: []string{"listUserGroups", "getUserGroup"}},
	} {
		for _, dryRun := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", dry run"}[dryRun], func(t *testing.T) {
				t.Parallel()
				ws := inviting()
				if c.start != nil {
					c.start(ws)
				}
				srv := sim.New(ws)
				opts, requests, changed := []segmentapi.Option{unspacedWrites()}, c.requests, c.changed
				switch {
				case dryRun:
					opts, changed = append(opts, segmentapi.WithDryRun()), nil
				case c.changed != nil:
					requests = slices.Concat(requests, []string{"updateUserGroup", "getUserGroup"})
				}
				renamed, err := connect(t, srv, opts...).Groups.Rename(t.Context(), c.id, c.name)
				if !errors.Is(err, c.want) || (renamed == nil) != (c.want != nil) {
					t.Fatalf("%v, %v", renamed, err)
				}
				want := &segmentapi.Group{ID: c.id, Name: c.name, MemberCount: 1, Permissions: leastAccess()}
				if diff := cmp.Diff(want, renamed); c.want == nil && diff != "" {
					t.Errorf("group (-want +got):\n%s", diff)
				}
				if errors.Is(c.want, segmentapi.ErrConflict) && !strings.Contains(err.Error(), "group h already has the name") {
					t.Error(err)
				}
				expectOrder(t, srv, requests...)
				expectWorkspace(t, srv, ws, changed)
			})
		}
	}
}

func TestGroupsRename_FailedWrites(t *testing.T) {
	t.Parallel()
	for name, c := range nameFaults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ws := inviting()
				srv := sim.New(ws)
				c.fault.Operation, c.fault.Ordinal = "updateUserGroup", 1
				simtest.Inject(t, srv, c.fault)
				renamed, err := connect(t, srv).Groups.Rename(t.Context(), "g", "New")
				if got := simtest.Count(srv.Journal())["updateUserGroup"]; got != c.patches {
					t.Errorf("%d requests, want %d", got, c.patches)
				}
				if c.patched != nil {
					if renamed != nil || !errors.Is(err, c.patched) {
						t.Errorf("%v, %v", renamed, err)
					}
					expectWorkspace(t, srv, ws, nil)
					return
				}
				if err != nil || renamed.Name != "New" {
					t.Errorf("%v, %v", renamed, err)
				}
				expectWorkspace(t, srv, ws, renames(0, "New"))
			})
		})
	}
}

// A group that is renamed twice at once has both names, one after the other: neither
// call mistakes the other for a write that was not applied.
func TestGroupsRename_TwoAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(inviting())
		// The first reads back late.
		simtest.Inject(t, srv, sim.Fault{Operation: "getUserGroup", Ordinal: 2, Kind: sim.FaultDelay, Delay: time.Hour})
		c := connect(t, srv, unspacedWrites())
		first := make(chan error, 1)
		go func() {
			_, err := c.Groups.Rename(t.Context(), "g", "First")
			first <- err
		}()
		synctest.Wait()
		if renamed, err := c.Groups.Rename(t.Context(), "g", "Second"); err != nil || renamed.Name != "Second" {
			t.Errorf("%v, %v", renamed, err)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
		expectWorkspace(t, srv, inviting(), renames(0, "Second"))
	})
}

func TestUsersListGroups(t *testing.T) {
	t.Parallel()
	ws := inviting()
	var want []segmentapi.Group
	for i := range 7 {
		g := sim.Group{ID: fmt.Sprintf("group-%d", i), Name: fmt.Sprintf("Group %d", i), Permissions: []sim.Permission{on(admin, "SOURCE a")}}
		if i != 3 {
			g.Members = []string{"owner@example.com", "u@example.com"}
			want = append(want, segmentapi.Group{ID: g.ID, Name: g.Name})
		}
		ws.Groups = append(ws.Groups, g)
	}
	srv := sim.New(ws)
	for _, size := range []int{1, 2, 3, 6, 1000} {
		srv.ResetJournal()
		c := connect(t, srv, segmentapi.WithPageSize(size))
		if diff := cmp.Diff(want, collect(t, c.Users.AllGroups(t.Context(), "owner"))); diff != "" {
			t.Errorf("pages of %d (-want +got):\n%s", size, diff)
		}
		if got := simtest.Count(srv.Journal())["listUserGroupsFromUser"]; got != (len(want)+size-1)/size {
			t.Errorf("pages of %d: %d requests", size, got)
		}
	}

	srv.ResetJournal()
	c := connect(t, srv)
	page, err := c.Users.ListGroups(t.Context(), "owner", segmentapi.ListOptions{Count: 4})
	if err != nil || len(page.Items) != 4 || page.Next == "" {
		t.Fatalf("%+v, %v", page, err)
	}
	if page, err = c.Users.ListGroups(t.Context(), "owner", segmentapi.ListOptions{Count: 4, Cursor: page.Next}); err != nil || len(page.Items) != 2 || page.Next != "" {
		t.Errorf("%+v, %v", page, err)
	}
	expectOrder(t, srv, "listUserGroupsFromUser", "listUserGroupsFromUser")

	if _, err = c.Users.ListGroups(t.Context(), "gone", segmentapi.ListOptions{}); !errors.Is(err, segmentapi.ErrNotFound) {
		t.Error(err)
	}
	srv.ResetJournal()
	for _, id := range []string{"", "..", strings.Repeat("x", 256)} {
		if _, err = c.Users.ListGroups(t.Context(), id, segmentapi.ListOptions{}); !errors.Is(err, segmentapi.ErrInvalidArgument) {
			t.Errorf("%q: %v", id, err)
		}
		for group, err := range c.Users.AllGroups(t.Context(), id) {
			if !errors.Is(err, segmentapi.ErrInvalidArgument) {
				t.Errorf("%q: %v, %v", id, group, err)
			}
		}
	}
	if got := simtest.Operations(srv.Journal()); len(got) != 0 {
		t.Errorf("requests %v", got)
	}
}

// Locks of different things have different names.
func TestGroupsRename_IDLikeALock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ws := testWorkspace()
		ws.Groups[0].ID = "name x"
		srv := sim.New(ws)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := connect(t, srv).Groups.Rename(ctx, "name x", "x"); err != nil {
			t.Error(err)
		}
	})
}

// Two groups of one name are not created while neither is listed yet.
func TestGroupsCreate_WaitsForTheSameName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(testWorkspace(on(minimal, wholeWorkspace)))
		if err := srv.Inject(sim.Fault{Operation: "createUserGroup", Kind: sim.FaultDelay, Delay: time.Hour}); err != nil {
			t.Fatal(err)
		}
		c := connect(t, srv, unspacedWrites())
		first := make(chan error, 1)
		go func() {
			_, err := c.Groups.Create(t.Context(), "New")
			first <- err
		}()
		synctest.Wait()
		if _, err := c.Groups.Create(t.Context(), "NEW"); !errors.Is(err, segmentapi.ErrConflict) {
			t.Error(err)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
		if got := len(srv.Workspace().Groups); got != 2 {
			t.Errorf("%d groups", got)
		}
	})
}

// Another group gets the name while the request waits for the limit.
func TestGroupsRename_NameTakenDuringTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(testWorkspace(on(minimal, wholeWorkspace)))
		simtest.Inject(t, srv, sim.Fault{Operation: "updateUserGroup", Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"30"}}})
		updateSoon(srv, func(ws *sim.Workspace) { ws.Groups = append(ws.Groups, sim.Group{ID: "theirs", Name: "New"}) })
		if _, err := connect(t, srv).Groups.Rename(t.Context(), "g", "New"); !errors.Is(err, segmentapi.ErrConflict) {
			t.Error(err)
		}
		if got := srv.Workspace().Groups; got[0].Name == got[1].Name {
			t.Errorf("two groups %q", got[0].Name)
		}
	})
}
