package connector

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// withAcceptedInvites returns a workspace of five users and six invites, three of which
// are of users: one was accepted and is still listed, two differ from the user's in case.
func withAcceptedInvites() *sim.Workspace {
	ws := small()
	ws.Invites = []sim.Invite{{Email: "ADA@example.COM"}, {Email: "New@example.com"}, {Email: "dee@example.com"}, {Email: "cy@EXAMPLE.com"}, {Email: "x@example.com"}}
	ws.AcceptStillListed("dee@example.com", "u4")
	// Unicode would fold the letter K of this address into that of another person.
	ws.Users = append(ws.Users, sim.User{ID: "u5", Email: "\u212Aim@example.com"})
	ws.Invites = append(ws.Invites, sim.Invite{Email: "kim@example.com"})
	return ws
}

// A listReader reads one list page by page.
type listReader struct {
	f      *fixture
	typeID string
	token  string
	ids    []string
	ended  bool
}

// next reads one page, in another process if asked to.
func (l *listReader) next(t *testing.T, another bool) {
	t.Helper()
	if l.ended {
		return
	}
	f, opts := l.f, l.f.opts()
	if another {
		f = f.inAnotherProcess()
	}
	opts.PageToken.Token = l.token
	k := kindOf(l.typeID)
	rows, res, err := k.syncer(f.Connector, k).List(t.Context(), nil, opts)
	if err != nil {
		t.Error(err)
		l.ended = true
		return
	}
	for _, r := range rows {
		l.ids = append(l.ids, r.GetId().GetResource())
	}
	l.ended = res == nil || res.NextPageToken == ""
	if !l.ended {
		l.token = res.NextPageToken
	}
}

func (l *listReader) all(t *testing.T, another bool) {
	t.Helper()
	for !l.ended {
		l.next(t, another)
	}
}

// A person who has accepted an invite that is still listed is not in the file a second
// time, in whatever order the lists are read, and each page of users is asked for once.
func TestList_InvitesWithoutThoseOfUsers(t *testing.T) {
	t.Parallel()
	orders := map[string]func(t *testing.T, users, invites *listReader, another bool){
		"users first": func(t *testing.T, users, invites *listReader, another bool) {
			users.all(t, another)
			invites.all(t, another)
		},
		"invites first": func(t *testing.T, users, invites *listReader, another bool) {
			invites.all(t, another)
			users.all(t, another)
		},
		"in turns": func(t *testing.T, users, invites *listReader, another bool) {
			for !users.ended || !invites.ended {
				invites.next(t, another)
				users.next(t, another)
			}
		},
		"the users overtake": func(t *testing.T, users, invites *listReader, another bool) {
			for !users.ended {
				invites.next(t, another)
				users.next(t, another)
				users.next(t, another)
			}
			invites.all(t, another)
		},
		"at a time": func(t *testing.T, users, invites *listReader, another bool) {
			var all sync.WaitGroup
			all.Go(func() { users.all(t, another) })
			all.Go(func() { invites.all(t, another) })
			all.Wait()
		},
	}
	for order, read := range orders {
		for _, size := range []int{1, 2, 1000} {
			for _, another := range []bool{false, true} {
				if another && order == "at a time" {
					continue // One turn is of one process.
				}
				t.Run(fmt.Sprintf("%s/size=%d/processes=%t", order, size, another), func(t *testing.T) {
					t.Parallel()
					f := newPagedFixture(t, withAcceptedInvites(), size)
					f.validate(t)
					users, invites := &listReader{f: f, typeID: typeUser}, &listReader{f: f, typeID: typeInvite}
					read(t, users, invites, another)
					if diff := cmp.Diff([]string{"u1", "u2", "u3", "u4", "u5"}, users.ids); diff != "" {
						t.Errorf("users (-want +got):\n%s", diff)
					}
					if diff := cmp.Diff([]string{"New@example.com", "x@example.com", "kim@example.com"}, invites.ids); diff != "" {
						t.Errorf("invites (-want +got):\n%s", diff)
					}
					got := f.requestCounts()
					delete(got, "getWorkspace") // Each process asks once.
					want := map[string]int{"listUsers": (5 + size - 1) / size, "listInvites": (6 + size - 1) / size}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("requests (-want +got):\n%s", diff)
					}
				})
			}
		}
	}
}

// The log counts the invites that are left out.
func TestList_CountsInvitesOfUsers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withAcceptedInvites())
	ctx, logs := withObservedLog(t)
	must(f.listType(ctx, typeInvite))(t)
	left := logs.FilterLevelExact(zapcore.WarnLevel).FilterMessage("left out: " + whyAccepted).All()
	if len(left) != 1 || left[0].ContextMap()["example"] != "cy@EXAMPLE.com" {
		t.Errorf("warnings: %v", left)
	}
}

// A page of users that has permissions keeps them on its way to the list of users.
func TestList_PermissionsOfUsersReadForInvites(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withAcceptedInvites(), sim.WithPermissionsInLists())
	f.validate(t)
	must(f.listType(t.Context(), typeInvite))(t)
	user := rowWithID(t, must(f.listType(t.Context(), typeUser))(t), "u3")
	must(f.entitlements(t.Context(), user))(t)
	if diff := cmp.Diff(map[string]int{"listUsers": 1, "listInvites": 1}, f.requestCounts()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// If all users have been listed, they decide, however long ago that was: somebody who has
// accepted since is in no list of users, and is still invited. No user is asked for.
func TestList_InvitesLongAfterUsers(t *testing.T) {
	t.Parallel()
	for _, begun := range []bool{false, true} {
		t.Run(fmt.Sprintf("invites begun=%t", begun), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newInMemoryFixture(t, withAcceptedInvites())
				users, invites := &listReader{f: f, typeID: typeUser}, &listReader{f: f, typeID: typeInvite}
				if begun {
					invites.next(t, false)
				}
				users.all(t, false)
				<-time.After(11 * time.Minute)
				f.sim.Update(func(ws *sim.Workspace) { ws.AcceptStillListed("x@example.com", "u6") })
				f.requestCounts()
				invites.all(t, true)
				if diff := cmp.Diff([]string{"New@example.com", "x@example.com", "kim@example.com"}, invites.ids); diff != "" {
					t.Errorf("invites (-want +got):\n%s", diff)
				}
				if n := f.requestCounts()["listUsers"]; n != 0 {
					t.Errorf("users were asked for %d times", n)
				}
			})
		})
	}
}

// Pages of a list that was interrupted are not taken for the present, whichever list it was.
func TestList_InvitesOfUsersInAResumedSync(t *testing.T) {
	t.Parallel()
	for _, first := range []string{typeUser, typeInvite} {
		t.Run(first+" first", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newInMemoryFixture(t, withAcceptedInvites())
				f.client = must(segmentapi.New(f.sim.Token(), segmentapi.WithHTTPClient(simtest.Client(f.sim)), segmentapi.WithPageSize(4)))(t)
				interrupted := &listReader{f: f, typeID: first}
				for f.requestCounts()["listUsers"] == 0 {
					interrupted.next(t, false)
				}
				<-time.After(7 * 24 * time.Hour)
				f.sim.Update(func(ws *sim.Workspace) {
					ws.AcceptStillListed("x@example.com", "u6")
					ws.Users = slices.DeleteFunc(ws.Users, func(u sim.User) bool { return u.ID == "u4" })
				})
				f = f.inAnotherProcess()
				users, invites := &listReader{f: f, typeID: typeUser}, &listReader{f: f, typeID: typeInvite}
				other := users
				if first == typeUser {
					other = invites
				}
				other.all(t, false)
				users.all(t, false)
				invites.all(t, false)
				if diff := cmp.Diff([]string{"u1", "u2", "u3", "u5", "u6"}, users.ids); diff != "" {
					t.Errorf("users (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff([]string{"New@example.com", "dee@example.com", "kim@example.com"}, invites.ids); diff != "" {
					t.Errorf("invites (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Without a session store it is not known which invites are of users: all are listed,
// at no further request.
func TestList_InvitesOfUsersWithoutASessionStore(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withAcceptedInvites())
	f.session = nil
	f.validate(t)
	if rows := must(f.listType(t.Context(), typeInvite))(t); len(rows) != 6 {
		t.Errorf("%d invites, want all 6", len(rows))
	}
	if diff := cmp.Diff(map[string]int{"listInvites": 1}, f.requestCounts()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// Without invites, their list asks for no users. If all invites are of users, the pending
// members of groups are asked for all the same, and are the users.
func TestList_NoInviteIsPending(t *testing.T) {
	t.Parallel()
	ws := withAcceptedInvites()
	ws.Invites = nil
	f := newFixture(t, ws)
	f.validate(t)
	must(f.listType(t.Context(), typeInvite))(t)
	if diff := cmp.Diff(map[string]int{"listInvites": 1}, f.requestCounts()); diff != "" {
		t.Errorf("requests without invites (-want +got):\n%s", diff)
	}
	ws.Invites = []sim.Invite{{Email: "ADA@example.com"}}
	f = newFixture(t, ws)
	rows := f.listAll(t)
	f.inject(t, sim.Fault{Operation: "listUsersFromUserGroup", Kind: sim.FaultStatus, Status: 200, Body: `{"data":{"users":[],"pagination":{"current":"MA=="}}}`})
	got := grantIDs(must(f.grants(t.Context(), rowWithID(t, rows[typeGroup], "g1")))(t))
	if len(rows[typeInvite]) != 0 || !slices.Contains(got, "group:g1:member:user:u1") {
		t.Errorf("invites %v, grants %v", rows[typeInvite], got)
	}
}

// A refusal of the list of users fails the list of invites too, and names the request.
func TestList_InvitesNeedTheUsers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, withAcceptedInvites())
	f.inject(t, sim.Fault{Operation: "listUsers", Kind: sim.FaultStatus, Status: 403})
	if _, err := f.listType(t.Context(), typeInvite); err == nil || !strings.Contains(err.Error(), "listUsers") {
		t.Errorf("error %v", err)
	}
}

// A boundedStore refuses values that are too large for one message, as the SDK's does.
type boundedStore struct{ *statetest.Memory }

func (b boundedStore) SetMany(ctx context.Context, values map[string][]byte, opts ...sessions.SessionStoreOption) error {
	for key, value := range values {
		if len(value) > sessions.MaxSessionStoreSizeLimit {
			return fmt.Errorf("the value of %s has %d bytes", key, len(value))
		}
	}
	return b.Memory.SetMany(ctx, values, opts...)
}

// A refusingStore answers with err about pages and what they have, if it is set.
type refusingStore struct {
	*statetest.Memory
	err error
}

func (r *refusingStore) GetMany(ctx context.Context, keys []string, opts ...sessions.SessionStoreOption) (map[string][]byte, []string, error) {
	if r.err != nil && slices.ContainsFunc(keys, func(key string) bool { return strings.HasPrefix(key, "page/") }) {
		return nil, nil, r.err
	}
	return r.Memory.GetMany(ctx, keys, opts...)
}

// Errors of the session store keep their codes, and neither begin nor end an outage of
// Segment's. Nor does a page that the store has.
func TestList_ErrorsOfTheStore(t *testing.T) {
	t.Parallel()
	store := &refusingStore{Memory: statetest.New()}
	f := newFixture(t, withAcceptedInvites())
	f.session = store
	f.validate(t)
	users, invites := &listReader{f: f, typeID: typeUser}, &listReader{f: f, typeID: typeInvite}
	invites.next(t, false)
	for typeID, token := range map[string]string{typeUser: "", typeInvite: invites.token} {
		for _, code := range []codes.Code{codes.Unavailable, codes.Canceled, codes.FailedPrecondition} {
			store.err = status.Error(code, "the store says so")
			k, opts := kindOf(typeID), f.opts()
			opts.PageToken.Token = token
			_, _, err := k.syncer(f.Connector, k).List(t.Context(), nil, opts)
			if status.Code(err) != code || !f.outage.began.IsZero() {
				t.Errorf("%s: %v, want %s; outage since %s", typeID, err, code, f.outage.began)
			}
		}
	}
	store.err = nil
	invites.next(t, false)
	f.outage.failed(time.Now(), time.Now())
	users.all(t, false)
	if f.outage.began.IsZero() {
		t.Error("a kept page ends an outage")
	}
}

// A call that is canceled while another has the turn is canceled.
func TestList_CanceledWhileItWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newInMemoryFixture(t, withAcceptedInvites())
		f.validate(t)
		done := must(f.tracker.Open(f.opts(), segmentapi.FoldEmail).Turn(t.Context()))(t)
		defer done()
		ctx, cancel := context.WithCancel(t.Context())
		answer := make(chan error, 1)
		go func() {
			_, err := f.listType(ctx, typeUser)
			answer <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-answer; status.Code(err) != codes.Canceled {
			t.Errorf("error %v", err)
		}
	})
}

// The rows of both lists survive values that are too large for the session store.
func TestList_UsersTooLargeToKeep(t *testing.T) {
	t.Parallel()
	ws := withAcceptedInvites()
	ws.Users[1].Name = strings.Repeat("n", 4<<20)
	f := newFixture(t, ws)
	f.session = boundedStore{statetest.New()}
	var ids []string
	for _, rows := range [][]*v2.Resource{must(f.listType(t.Context(), typeInvite))(t), must(f.listType(t.Context(), typeUser))(t)} {
		for _, r := range rows {
			ids = append(ids, r.GetId().GetResource())
		}
	}
	if want := []string{"New@example.com", "x@example.com", "kim@example.com", "u1", "u2", "u3", "u4", "u5"}; !slices.Equal(want, ids) {
		t.Errorf("rows %q, want %q", ids, want)
	}
}
