package segmentapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// Users and groups that disappear during the scan are skipped. If something cannot be
// read, it is unknown whether there is another owner, and nothing is changed.
func TestOwnerScan_ChangesAndFailures(t *testing.T) {
	t.Parallel()
	crowd := func(ws *sim.Workspace) {
		makeOwner(ws, "u")
		addGroup(ws, "vanishing", "w@example.com")
		ws.Users = append(ws.Users, sim.User{ID: "last", Email: "last@example.com"})
		makeOwner(ws, "last")
	}
	vanish := func(ws *sim.Workspace) {
		ws.Groups = slices.DeleteFunc(ws.Groups, func(g sim.Group) bool { return g.ID == "vanishing" })
		ws.Users = slices.DeleteFunc(ws.Users, func(u sim.User) bool { return u.ID == "v" || u.ID == "w" })
	}
	for _, operation := range []string{"getUserGroup", "listUsersFromUserGroup", "listUsers"} {
		t.Run("gone at "+operation, func(t *testing.T) {
			t.Parallel()
			srv := sim.New(ownerWorkspace(crowd))
			// The list of users may still show a user who is gone.
			if err := srv.Before(operation, 1, vanish); err != nil {
				t.Fatal(err)
			}
			if _, err := connect(t, srv, unspacedWrites()).Users.Revoke(t.Context(), "u", assigned(owner, wholeWorkspace)); err != nil {
				t.Error(err)
			}
			if got := owners(srv.Workspace()); !slices.Contains(got, "last") || slices.Contains(got, "u") {
				t.Errorf("owners %v", got)
			}
		})
	}
	t.Run("gone after the list", func(t *testing.T) {
		t.Parallel()
		srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) { crowd(ws); ws.Groups = nil }))
		if err := srv.Before("getUser", 3, vanish); err != nil { // The first two are those of u and of the first user in the list.
			t.Fatal(err)
		}
		if _, err := connect(t, srv, unspacedWrites()).Users.Revoke(t.Context(), "u", assigned(owner, wholeWorkspace)); err != nil {
			t.Error(err)
		}
	})
	for _, operation := range []string{"listRoles", "listUserGroups", "getUserGroup", "listUsersFromUserGroup", "listUsers", "getUser"} {
		for name, c := range map[string]struct {
			fault  sim.Fault
			status int
		}{
			"500":           {sim.Fault{Kind: sim.FaultStatus, Status: 500}, 500},
			"not Segment's": {sim.Fault{Kind: sim.FaultHTML, Status: 404}, 404},
		} {
			t.Run(name+" from "+operation, func(t *testing.T) {
				t.Parallel()
				srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) {
					makeOwner(ws, "u")
					addGroup(ws, "empty", "pending@example.com")
				}))
				c.fault.Operation = operation
				if operation == "getUser" {
					c.fault.Ordinal = 2 // The subject can be read.
				}
				if err := srv.Inject(c.fault); err != nil {
					t.Fatal(err)
				}
				client := connect(t, srv, unspacedWrites(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1}))
				_, err := client.Users.Revoke(t.Context(), "u", assigned(owner, wholeWorkspace))
				var failed *segmentapi.Error
				if !errors.As(err, &failed) || failed.StatusCode != c.status || errors.Is(err, segmentapi.ErrLastOwner) || !strings.Contains(err.Error(), operation) {
					t.Error(err)
				}
				if got := simtest.Writes(srv.Journal()); len(got) != 0 {
					t.Errorf("writes %v", got)
				}
			})
		}
	}
}

// The scan looks at groups first, reads eight users at a time, and stops at the
// first owner.
func TestOwnerScan_StopsAtTheFirstOwner(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*sim.Workspace)
		least  int
		most   int // Reads of users, that of the subject aside.
	}{
		"at a group": {func(ws *sim.Workspace) { addGroup(ws, "third", "w@example.com") }, 1, 1},
		// Reads in flight are finished, and each may have made room for one more.
		"at the first user":            {func(ws *sim.Workspace) { makeOwner(ws, "owner") }, 8, 16},
		"at the last user, if it must": {func(ws *sim.Workspace) { makeOwner(ws, "late") }, 104, 104},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ws := ownerWorkspace(func(ws *sim.Workspace) {
					for i := range 100 {
						ws.Users = append(ws.Users, sim.User{ID: fmt.Sprintf("x%d", i), Email: fmt.Sprintf("x%d@example.com", i)})
					}
					ws.Users = append(ws.Users, sim.User{ID: "late", Email: "late@example.com"})
					makeOwner(ws, "u")
					c.change(ws)
				})
				srv := sim.New(ws)
				if err := srv.Inject(sim.Fault{Operation: "getUser", Kind: sim.FaultDelay, Delay: time.Second}); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if _, err := connect(t, srv, unspacedWrites(), segmentapi.WithPageSize(20), segmentapi.WithDryRun()).Users.Revoke(t.Context(), "u", assigned(owner, wholeWorkspace)); err != nil {
					t.Fatal(err)
				}
				if pages := simtest.Count(srv.Journal())["listUsers"]; pages > (c.most+19)/20 {
					t.Errorf("%d pages of users were read", pages)
				}
				read := simtest.Count(srv.Journal())["getUser"] - 1
				if read < c.least || read > c.most {
					t.Errorf("%d users were read, want %d to %d", read, c.least, c.most)
				}
				// The subject, and then eight a second.
				if took, want := time.Since(start), time.Duration(1+(c.least+7)/8)*time.Second; took != want {
					t.Errorf("it took %s, want %s", took, want)
				}
			})
		})
	}
}

func TestOwnerScan_Limit(t *testing.T) {
	t.Parallel()
	ws := ownerWorkspace(func(ws *sim.Workspace) {
		makeOwner(ws, "u")
		for i := range segmentapi.OwnerScanLimit {
			ws.Users = append(ws.Users, sim.User{ID: fmt.Sprintf("x%d", i), Email: fmt.Sprintf("x%d@example.com", i)})
		}
		ws.Users = append(ws.Users, sim.User{ID: "late", Email: "late@example.com"})
		makeOwner(ws, "late")
	})
	srv := sim.New(ws)
	hc := &http.Client{Transport: srv.RoundTripper()}
	c, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), segmentapi.WithHTTPClient(hc), unspacedWrites())
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Users.Revoke(t.Context(), "u", assigned(owner, wholeWorkspace))
	if !errors.Is(err, segmentapi.ErrLastOwner) || !strings.Contains(err.Error(), "2000") {
		t.Error(err)
	}
	// Beside the scan: the subject, and the roles and the workspace for what takes
	// the place of a last permission. What is under way at the end may not arrive.
	if got := len(srv.Journal()); got < segmentapi.OwnerScanLimit-8 || got > segmentapi.OwnerScanLimit+4 {
		t.Errorf("%d requests", got)
	}
	if got := simtest.Writes(srv.Journal()); len(got) != 0 {
		t.Errorf("writes %v", got)
	}
}

// After the write only the owner who was found is read again.
func TestOwnerScan_ChecksTheFoundOwnerAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*sim.Workspace)
		asked  []string // After the write.
	}{
		"user":  {func(ws *sim.Workspace) { makeOwner(ws, "v") }, []string{"getUser"}},
		"group": {func(ws *sim.Workspace) { addGroup(ws, "third", "w@example.com", "v@example.com") }, []string{"getUserGroup", "listUsersFromUserGroup", "getUser"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) { makeOwner(ws, "u"); c.change(ws) }))
			if _, err := connect(t, srv, unspacedWrites()).Users.Revoke(t.Context(), "u", assigned(owner, wholeWorkspace)); err != nil {
				t.Fatal(err)
			}
			order := simtest.Operations(srv.Journal())
			after := order[slices.Index(order, "replacePermissionsForUser")+1:]
			if diff := cmp.Diff(append([]string{"getUser"}, c.asked...), after); diff != "" {
				t.Errorf("requests after the write (-want +got):\n%s", diff)
			}
		})
	}
}
