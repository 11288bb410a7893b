package segmentapi_test

import (
	"context"
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

// The caller leaves at each request of a change that takes several steps. In the end it is
// made or everything is as it was; an owner is never left demoted.
func TestWrites_CallerLeavesAtEachRequest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		workspace *sim.Workspace
		opts      []sim.Option
		do        func(context.Context, *segmentapi.Client) error
		done      func(*sim.Workspace) bool
	}{
		"remove an owner": {
			workspace: ownerWorkspace(func(ws *sim.Workspace) {
				makeOwner(ws, "u")
				addGroup(ws, "group", "u@example.com", "v@example.com")
			}),
			do:   func(ctx context.Context, c *segmentapi.Client) error { _, err := c.Users.Remove(ctx, "u"); return err },
			done: func(ws *sim.Workspace) bool { return holds(ws, "u") == nil },
		},
		"grant by a POST that replaces": {
			workspace: testWorkspace(on(admin, "SOURCE a"), on(minimal, wholeWorkspace)), opts: []sim.Option{sim.WithPost(sim.PostReplaces)},
			do: func(ctx context.Context, c *segmentapi.Client) error {
				_, err := c.Users.Grant(ctx, "u", assigned(reader, "SOURCE b"))
				return err
			},
			done: func(ws *sim.Workspace) bool {
				return slices.Equal(holds(ws, "u"), []string{admin + " SOURCE a", minimal + " " + wholeWorkspace, reader + " SOURCE b"})
			},
		},
		"grant by a POST that drops labels": {
			workspace: testWorkspace(on(minimal, wholeWorkspace)), opts: []sim.Option{sim.WithNormalizing(sim.NormalizePostDropsLabels)},
			do: func(ctx context.Context, c *segmentapi.Client) error {
				_, err := c.Users.Grant(ctx, "u", assigned(admin, wholeWorkspace+" env=prod"))
				return err
			},
			done: func(ws *sim.Workspace) bool {
				return slices.Equal(holds(ws, "u"), []string{admin + " " + wholeWorkspace + " env=prod", minimal + " " + wholeWorkspace})
			},
		},
	} {
		for _, lag := range []time.Duration{0, time.Second} {
			t.Run(fmt.Sprintf("%s/%s", name, lag), func(t *testing.T) {
				t.Parallel()
				left := map[string]int{}
				for request := 1; ; request++ {
					ended := false
					synctest.Test(t, func(t *testing.T) {
						ended = leaveAt(t, request, c.workspace, append(c.opts, sim.WithLag(lag)), c.do, c.done, left)
					})
					if ended {
						t.Logf("%d requests: %v", request-1, left)
						break
					}
				}
				if left["made"] == 0 || left["as it was"] == 0 {
					t.Errorf("only %v", left)
				}
			})
		}
	}
}

// leaveAt ends the caller's context at a request, and reports whether there was no such
// request. It counts the outcome in left.
func leaveAt(
	t *testing.T, request int, ws *sim.Workspace, opts []sim.Option,
	do func(context.Context, *segmentapi.Client) error, done func(*sim.Workspace) bool, left map[string]int,
) bool {
	t.Helper()
	srv := sim.New(ws, opts...)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	requests := 0
	hc := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		if requests++; requests == request {
			leave()
		}
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		return srv.RoundTripper().RoundTrip(r)
	})}
	c, err := segmentapi.New(srv.Token(), segmentapi.WithHTTPClient(hc), unspacedWrites())
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	err = do(ctx, c)
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("request %d: it took %s", request, took)
	}
	after, before := srv.Workspace(), sim.New(ws).Workspace()
	for _, w := range []*sim.Workspace{after, before} {
		for i := range w.Groups { // A member who comes back is the last one.
			slices.Sort(w.Groups[i].Members)
		}
	}
	switch {
	case done(after):
		left["made"]++
	case cmp.Equal(before, after):
		left["as it was"]++
		if err == nil {
			t.Errorf("request %d: success, although nothing was changed", request)
		}
	default:
		t.Errorf("request %d: left half done, with %v:\n%s", request, err, cmp.Diff(before, after))
	}
	return requests < request
}

// Another program overwrites a change a moment after it was confirmed. The change is made
// once more, and if that is overwritten as well, the error says so.
func TestEdit_OverwrittenAfterItWasConfirmed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		times  int
		lag    time.Duration
		want   error
		writes int
	}{
		{times: 1, writes: 2},
		{times: 2, want: segmentapi.ErrContested, writes: 2},
		{times: 1, lag: 2 * time.Second, writes: 2},
		{times: 2, lag: 2 * time.Second, want: segmentapi.ErrContested, writes: 2},
	} {
		for _, grants := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d times/lag %s/grant %t", c.times, c.lag, grants), func(t *testing.T) {
				t.Parallel()
				for _, what := range []string{"user", "group"} {
					synctest.Test(t, func(t *testing.T) {
						held := []sim.Permission{on(admin, "SOURCE a"), on(minimal, wholeWorkspace)}
						srv := sim.New(testWorkspace(held...), sim.WithLag(c.lag))
						e := editors(connect(t, srv, settling(), unspacedWrites()))[what]
						do, want, write := e.revoke, []string{minimal + " " + wholeWorkspace}, e.put
						if grants {
							do, want, write = e.grant, []string{admin + " SOURCE a", admin + " SOURCE b", minimal + " " + wholeWorkspace}, e.post
						}
						for i := range c.times {
							simtest.Committed(t, srv, write, i+1, func(context.Context) {
								time.AfterFunc(c.lag+500*time.Millisecond, func() {
									srv.Update(func(ws *sim.Workspace) {
										editPermissions(ws, e.id, func([]sim.Permission) []sim.Permission { return held })
									})
								})
							})
						}
						line := map[bool]string{true: "SOURCE b", false: "SOURCE a"}[grants]
						_, err := do(t.Context(), e.id, assigned(admin, line))
						if !errors.Is(err, c.want) {
							t.Errorf("%s: %v", what, err)
						}
						if got := simtest.Writes(srv.Journal()); len(got) != c.writes {
							t.Errorf("%s: writes %v", what, got)
						}
						if c.want == nil {
							checkHolds(t, srv, e.id, want...)
						}
					})
				}
			})
		}
	}
}

// If only a part of a change is gone a moment later, somebody knew of it. It is reported
// and not repeated.
func TestReplace_PartOverwritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(testWorkspace(on(admin, "SOURCE a"), on(minimal, wholeWorkspace)))
		simtest.Committed(t, srv, "addPermissionsToUser", 1, func(context.Context) {
			time.AfterFunc(500*time.Millisecond, func() {
				srv.Update(func(ws *sim.Workspace) {
					editPermissions(ws, "u", func(held []sim.Permission) []sim.Permission { return dropLine(held, reader+" SOURCE b") })
				})
			})
		})
		_, err := connect(t, srv, settling()).Users.Grant(t.Context(), "u", assigned(reader, "SOURCE b"), assigned(reader, "SOURCE c"))
		if !errors.Is(err, segmentapi.ErrContested) || !strings.Contains(err.Error(), "still to change: + Source Read-only on SOURCE b") {
			t.Error(err)
		}
		checkHolds(t, srv, "u", admin+" SOURCE a", minimal+" "+wholeWorkspace, reader+" SOURCE c")
	})
}

// An owner who was demoted a moment ago does not count as another owner, even if reads
// still show the role.
func TestLastOwner_DemotedAMomentAgo(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"revoke from u", "replace of u", "remove u"} {
		for through, take := range map[string]func(context.Context, *segmentapi.Client) error{
			"demoted": func(ctx context.Context, c *segmentapi.Client) error {
				_, err := c.Users.Revoke(ctx, "v", assigned(owner, wholeWorkspace))
				return err
			},
			"removed": func(ctx context.Context, c *segmentapi.Client) error {
				_, err := c.Users.Remove(ctx, "v")
				return err
			},
		} {
			t.Run(how+"/"+through, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) { makeOwner(ws, "u"); makeOwner(ws, "v") }))
					c := connect(t, srv, settling(), unspacedWrites())
					if err := take(t.Context(), c); err != nil {
						t.Fatal(err)
					}
					srv.SetReplicas(2, time.Hour) // From now on every other read shows the state before.
					if err := ownershipRemovals[how](t.Context(), c); !errors.Is(err, segmentapi.ErrLastOwner) {
						t.Error(err)
					}
					if got := owners(srv.Workspace()); !slices.Equal(got, []string{"u"}) {
						t.Errorf("owners %v", got)
					}
				})
			})
		}
	}
}

// The other owner is demoted while an owner is removed, and reads lag. The workspace keeps
// an owner.
func TestUsersRemove_OtherOwnerDemotedWhileReadsLag(t *testing.T) {
	t.Parallel()
	for _, lag := range []time.Duration{100 * time.Millisecond, 2500 * time.Millisecond, 8 * time.Second} {
		for _, operation := range []string{"replacePermissionsForUser", "deleteUsers"} {
			t.Run(fmt.Sprintf("%s/%s", lag, operation), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) { makeOwner(ws, "u"); makeOwner(ws, "v") }), sim.WithLag(lag))
					simtest.Inject(t, srv, sim.Fault{Operation: "deleteUsers", Kind: sim.FaultStatus, Status: 503})
					simtest.Before(t, srv, operation, 1, func(ws *sim.Workspace) {
						editPermissions(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, wholeWorkspace)} })
					})
					_, err := connect(t, srv, settling(), unspacedWrites()).Users.Remove(t.Context(), "u")
					if err == nil || errors.Is(err, segmentapi.ErrNotRestored) {
						t.Error(err)
					}
					if got := owners(srv.Workspace()); !slices.Equal(got, []string{"u"}) {
						t.Errorf("owners %v, with %v", got, err)
					}
				})
			})
		}
	}
}

// A group names an owner who is no user any more. That is no other owner.
func TestLastOwner_MemberOfAGroupIsGone(t *testing.T) {
	t.Parallel()
	srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) { makeOwner(ws, "u"); addGroup(ws, "third", "v@example.com") }))
	simtest.Inject(t, srv, sim.Fault{Operation: "getUser", Ordinal: 2, Kind: sim.FaultStatus, Status: 404})
	if _, err := connect(t, srv).Users.Revoke(t.Context(), "u", assigned(owner, wholeWorkspace)); !errors.Is(err, segmentapi.ErrLastOwner) {
		t.Error(err)
	}
	if got := simtest.Writes(srv.Journal()); len(got) != 0 {
		t.Errorf("writes %v", got)
	}
}

// An assignment that nobody can hold is refused, and does not read as "not held".
func TestRevoke_InvalidArgument(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]segmentapi.Assignment{
		"no role":  {Scope: assigned(admin, "SOURCE a").Scope},
		"no id":    {RoleID: admin, Scope: segmentapi.Scope{Type: segmentapi.ScopeSource}},
		"no type":  {RoleID: admin, Scope: segmentapi.Scope{ID: "a"}},
		"no scope": {RoleID: admin},
	} {
		forUserAndGroup(t, []sim.Permission{on(minimal, wholeWorkspace)}, func(t *testing.T, srv *sim.Server, e editor) {
			if _, err := e.revoke(t.Context(), e.id, assigned(minimal, wholeWorkspace), a); !errors.Is(err, segmentapi.ErrInvalidArgument) {
				t.Errorf("%s: %v", name, err)
			}
			if got := len(srv.Journal()); got != 0 {
				t.Errorf("%s: %d requests", name, got)
			}
		})
	}
}

// Addresses that Unicode's folding or trimming would make equal are of different people.
func TestEmails_FoldAToZAlone(t *testing.T) {
	t.Parallel()
	for plain, other := range map[string]string{
		"kate@example.com": "\u212Aate@example.com", "ian@example.com": "\u0130an@example.com", "ann@example.com": "ann@example.com\u00A0",
	} {
		t.Run(plain, func(t *testing.T) {
			t.Parallel()
			ws := testWorkspace(on(minimal, wholeWorkspace))
			ws.Users = append(ws.Users, sim.User{ID: "plain", Email: plain, Permissions: []sim.Permission{on(minimal, wholeWorkspace)}})
			ws.Groups[0].Members = []string{plain}
			ws.Invites = []sim.Invite{{Email: "pending-" + plain}}
			srv := sim.New(ws)
			c := connect(t, srv, unspacedWrites())
			ctx := t.Context()
			if removed, err := c.Groups.RemoveMembers(ctx, "g", other); err != nil || len(removed) != 0 {
				t.Errorf("removed %v, %v", removed, err)
			}
			if added, err := c.Groups.AddMembers(ctx, "g", other); !errors.Is(err, segmentapi.ErrInvalid) || len(added) != 0 {
				t.Errorf("added %v, %v", added, err)
			}
			if there, err := c.Invites.Delete(ctx, "pending-"+other); there || err != nil {
				t.Errorf("withdrawn %t, %v", there, err)
			}
			if invite, err := c.Invites.Create(ctx, segmentapi.Invitation{Email: other}); err == nil && !invite.Sent {
				t.Errorf("%+v is taken for the other person", invite)
			}
			if got := srv.Workspace(); !slices.Equal(got.Groups[0].Members, []string{plain}) || got.Invites[0].Email != "pending-"+plain {
				t.Errorf("members %v, invites %v", got.Groups[0].Members, got.Invites)
			}
		})
	}
}

// The log names what goes with a user or an invite, and a change of several steps is
// announced before the first.
func TestChangeLog_WhatIsLost(t *testing.T) {
	t.Parallel()
	ws := ownerWorkspace(func(ws *sim.Workspace) {
		makeOwner(ws, "u")
		makeOwner(ws, "v")
		addGroup(ws, "third", "u@example.com", "pending@example.com")
	})
	var log sharedLog
	c := connect(t, sim.New(ws), unspacedWrites(), segmentapi.WithLogger(log.logger()))
	if _, err := c.Workspace.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Users.Remove(t.Context(), "u"); err != nil {
		t.Error(err)
	}
	if _, err := c.Invites.Delete(t.Context(), "pending@example.com"); err != nil {
		t.Error(err)
	}
	logged := strings.Split(strings.TrimSpace(log.String()), "\n")
	for i, parts := range [][]string{
		{"starting a change of several steps", "operation=deleteUsers", `subject="user u"`, "revoke the role Workspace Owner; remove it from the groups third; remove it"},
		{"msg=changed", "replacePermissionsForUser", "- Workspace Owner"},
		{"msg=changed", "removeUsersFromUserGroup"},
		{"msg=changed", "deleteUsers", "Workspace Owner on WORKSPACE ws", `member of the groups \"third\"`},
		{"msg=changed", "deleteInvites", `member of the groups \"third\"`},
	} {
		for _, part := range append(parts, "workspace_id=ws") {
			if i >= len(logged) || !strings.Contains(logged[i], part) {
				t.Errorf("line %d has no %q:\n%s", i+1, part, &log)
			}
		}
	}
}

// A label that the workspace does not have is refused before the write: Segment might
// store the permission without it.
func TestGrant_UnknownLabel(t *testing.T) {
	t.Parallel()
	forUserAndGroup(t, []sim.Permission{on(minimal, wholeWorkspace)}, func(t *testing.T, srv *sim.Server, e editor) {
		_, err := e.grant(t.Context(), e.id, assigned(admin, wholeWorkspace+" env=prod nobody=knows"))
		if !errors.Is(err, segmentapi.ErrInvalid) || !strings.Contains(err.Error(), "nobody=knows") {
			t.Error(err)
		}
		expectOrder(t, srv, e.get, "listLabels")
	})
}

// A dry run answers as the edit would, and writes nothing.
func TestDryRun_SameAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		does []sim.Normalization
		do   func(context.Context, editor) (segmentapi.Difference, error)
	}{
		"not understood": {[]sim.Normalization{sim.NormalizeUnknownPermissionField}, func(ctx context.Context, e editor) (segmentapi.Difference, error) {
			return e.revoke(ctx, e.id, assigned(admin, "SOURCE a"))
		}},
		"hidden": {[]sim.Normalization{sim.NormalizeOmitsPermissions}, func(ctx context.Context, e editor) (segmentapi.Difference, error) {
			return e.revoke(ctx, e.id, assigned(admin, "SOURCE a"))
		}},
		"unknown label": {nil, func(ctx context.Context, e editor) (segmentapi.Difference, error) {
			return e.grant(ctx, e.id, assigned(admin, wholeWorkspace+" nobody=knows"))
		}},
		"last permission": {nil, func(ctx context.Context, e editor) (segmentapi.Difference, error) {
			return e.edit(ctx, e.id, func([]segmentapi.Assignment) []segmentapi.Assignment { return nil })
		}},
		"fine": {nil, func(ctx context.Context, e editor) (segmentapi.Difference, error) {
			return e.revoke(ctx, e.id, assigned(admin, "SOURCE a"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, what := range []string{"user", "group"} {
				synctest.Test(t, func(t *testing.T) {
					answers := map[bool]string{}
					for _, dry := range []bool{true, false} {
						srv := sim.New(testWorkspace(on(admin, "SOURCE a"), on(reader, "SOURCE b")), sim.WithNormalizing(c.does...))
						opts := []segmentapi.Option{settling(), unspacedWrites()}
						if dry {
							opts = append(opts, segmentapi.WithDryRun())
						}
						change, err := c.do(t.Context(), editors(connect(t, srv, opts...))[what])
						answers[dry] = fmt.Sprintf("%s, %v", change, err)
						if wrote := len(simtest.Writes(srv.Journal())) > 0; dry && wrote {
							t.Errorf("%s: a dry run wrote", what)
						}
					}
					if answers[true] != answers[false] {
						t.Errorf("%s: dry run: %s\nedit: %s", what, answers[true], answers[false])
					}
				})
			}
		})
	}
}
