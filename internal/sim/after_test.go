package sim

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// grant gives the first user and the first group a role on the workspace, as another
// administrator.
func grant(role string) func(*Workspace) {
	return func(w *Workspace) {
		p := on(role, scope(typeWorkspace, w.ID))
		w.Users[0].Permissions = append(w.Users[0].Permissions, p)
		w.Groups[0].Permissions = append(w.Groups[0].Permissions, p)
	}
}

// oneOfEach returns a workspace with a user and a group, which have the same id.
func oneOfEach(held ...Permission) *Workspace {
	w := Empty()
	w.Users = []User{{ID: "x", Email: "x@example.com", Permissions: held}}
	w.Groups = []Group{{ID: "x", Name: "x", Permissions: held}}
	return w.clone()
}

// body returns the body of a write of one permission on the workspace.
func (w rawClient) body(role string) string {
	return `{"permissions":[{"roleId":"` + role + `","resources":[{"id":"` + w.server.Workspace().ID + `","type":"WORKSPACE"}]}]}`
}

// permissionWrites are the operations that write permissions, with their requests.
func permissionWrites() map[string][2]string {
	return map[string][2]string{
		"addPermissionsToUser":           {http.MethodPost, "/users/x/permissions"},
		"replacePermissionsForUser":      {http.MethodPut, "/users/x/permissions"},
		"addPermissionsToUserGroup":      {http.MethodPost, "/groups/x/permissions"},
		"replacePermissionsForUserGroup": {http.MethodPut, "/groups/x/permissions"},
	}
}

func TestAfter_AnswersOfPermissionWritesShowTheEdit(t *testing.T) {
	t.Parallel()
	for operation, request := range permissionWrites() {
		for _, lag := range []time.Duration{0, time.Minute} {
			t.Run(operation+"/"+lag.String(), func(t *testing.T) {
				t.Parallel()
				w := newRawClient(t, New(oneOfEach(), WithLag(lag)))
				if err := w.server.After(operation, 2, grant(roleOwner)); err != nil {
					t.Fatal(err)
				}
				for i, want := range []bool{false, true} {
					a := w.want(t, http.StatusOK, request[0], request[1], w.body(roleMinimal))
					equal(t, "the answer shows the edit", want, strings.Contains(string(a.Raw), roleOwner))
					state := toJSON(t, w.server.Workspace().Users)
					equal(t, "the edit has been made", want, strings.Contains(state, roleOwner))
					if i == 1 && !strings.Contains(string(a.Raw), roleMinimal) {
						t.Errorf("the write is not in the answer: %s", a.Raw)
					}
				}
			})
		}
	}
}

func TestAfter_SubjectIsRemoved(t *testing.T) {
	t.Parallel()
	for operation, request := range permissionWrites() {
		w := newRawClient(t, New(oneOfEach()))
		if err := w.server.After(operation, 1, func(w *Workspace) { w.Users, w.Groups = nil, nil }); err != nil {
			t.Fatal(err)
		}
		a := w.want(t, http.StatusOK, request[0], request[1], w.body(roleMinimal))
		if !strings.Contains(string(a.Raw), roleMinimal) {
			t.Errorf("%s: %s", operation, a.Raw)
		}
		w.want(t, http.StatusNotFound, request[0], request[1], w.body(roleMinimal))
	}
}

func TestAfter_OtherAnswersDoNotShowTheEdit(t *testing.T) {
	t.Parallel()
	s := New(oneOfEach())
	w := newRawClient(t, s)
	for _, operation := range []string{"listUserGroups", "createUserGroup"} {
		if err := s.After(operation, 0, addGroup("|after "+operation)); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "first list", "x", listed(t, w, "/groups"))
	equal(t, "second list", "x,|after listUserGroups", listed(t, w, "/groups"))
	w.want(t, http.StatusOK, http.MethodPost, "/groups", `{"name":"made"}`)
	equal(t, "after a write", "x,|after listUserGroups,|after listUserGroups,made,|after createUserGroup", groupNames(s.Workspace()))
	// The edit is another administrator's, so that it does not depend on the request.
	w.want(t, http.StatusUnprocessableEntity, http.MethodPost, "/groups", `{}`)
	if err := s.Inject(Fault{Operation: "createUserGroup", Kind: FaultStatus}); err != nil {
		t.Fatal(err)
	}
	w.want(t, http.StatusInternalServerError, http.MethodPost, "/groups", `{"name":"never"}`)
	equal(t, "after refusals", 3, strings.Count(groupNames(s.Workspace()), "createUserGroup"))
	for operation, ordinal := range map[string]int{"nothing": 1, "listUsers": -1} {
		if s.After(operation, ordinal, addGroup("never")) == nil || s.Committed(operation, ordinal, func(context.Context) {}) == nil {
			t.Errorf("%s, %d was accepted", operation, ordinal)
		}
	}
}

// The call can block: the write has been made, its answer has not been sent.
func TestCommitted_IsBetweenCommitAndAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(oneOfEach())
		w := newRawClient(t, s)
		committed, answer := make(chan string), make(chan struct{})
		if err := s.Committed("createUserGroup", 2, func(context.Context) {
			committed <- groupNames(s.Workspace()) + " " + listed(t, w, "/groups")
			<-answer
		}); err != nil {
			t.Fatal(err)
		}
		w.want(t, http.StatusOK, http.MethodPost, "/groups", `{"name":"first"}`)
		answered := false
		go func() {
			w.want(t, http.StatusOK, http.MethodPost, "/groups", `{"name":"second"}`)
			answered = true
		}()
		equal(t, "groups in the call", "x,first,second x,first,second", <-committed)
		synctest.Wait()
		equal(t, "answered", false, answered)
		equal(t, "status in the journal", 0, s.Journal()[1].Status)
		close(answer)
		synctest.Wait()
		equal(t, "answered", true, answered)
	})
}

func TestCommitted_OnlyIfTheRequestIsCarriedOut(t *testing.T) {
	t.Parallel()
	s := New(oneOfEach())
	w := newRawClient(t, s)
	calls := 0
	if err := s.Committed("createUserGroup", 0, func(context.Context) { calls++ }); err != nil {
		t.Fatal(err)
	}
	w.want(t, http.StatusUnprocessableEntity, http.MethodPost, "/groups", `{}`)
	equal(t, "calls after a refusal", 0, calls)
	for kind, want := range map[FaultKind]int{FaultStatus: 0, FaultLateStatus: 1, FaultLateDelay: 1} {
		s.ClearFaults()
		calls = 0
		if err := s.Inject(Fault{Operation: "createUserGroup", Kind: kind}); err != nil {
			t.Fatal(err)
		}
		w.send(t, http.MethodPost, "/groups", `{"name":"G"}`)
		equal(t, "calls with "+string(kind), want, calls)
	}
}

// A caller that leaves before the answer does not undo the write.
func TestLateAnswers_CallerLeaves(t *testing.T) {
	t.Parallel()
	for name, plan := range map[string]func(*Server) error{
		"late delay": func(s *Server) error {
			return s.Inject(Fault{Operation: "createUserGroup", Ordinal: 2, Kind: FaultLateDelay, Delay: time.Hour})
		},
		"call": func(s *Server) error {
			return s.Committed("createUserGroup", 2, func(ctx context.Context) {
				if sleep(ctx, time.Hour) == nil {
					return
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := New(oneOfEach())
				if err := plan(s); err != nil {
					t.Fatal(err)
				}
				client := &http.Client{Transport: s.RoundTripper(), Timeout: time.Minute}
				start := time.Now()
				for i, want := range []time.Duration{0, time.Minute} {
					var got outcome
					post := func() {
						got = exchange(t, s, client, http.MethodPost, "https://api.segment.test/groups", `{"name":"G"}`)
					}
					done := make(chan struct{})
					go func() {
						post()
						close(done)
					}()
					synctest.Wait()
					equal(t, "groups before the answer", 2+i, len(s.Workspace().Groups))
					<-done
					equal(t, "time until the answer", want, time.Since(start))
					equal(t, "left", i == 1, errors.Is(got.sendErr, context.DeadlineExceeded))
				}
				equal(t, "groups", 3, len(s.Workspace().Groups))
				equal(t, "statuses", []int{200, 0}, mapSlice(s.Journal(), func(r Request) int { return r.Status }))
				// A caller with more patience gets the answer.
				s.ResetJournal()
				client.Timeout = 2 * time.Hour
				for _, want := range []time.Duration{0, time.Hour} {
					start = time.Now()
					got := exchange(t, s, client, http.MethodPost, "https://api.segment.test/groups", `{"name":"G"}`)
					equal(t, "status", 200, got.status)
					equal(t, "time until the answer", want, time.Since(start))
				}
			})
		})
	}
}

func TestResetJournal_CountsAfterAndCommittedAgain(t *testing.T) {
	t.Parallel()
	s := New(oneOfEach())
	w := newRawClient(t, s)
	var events []string
	if err := errors.Join(
		s.After("listRoles", 1, func(*Workspace) { events = append(events, "after") }),
		s.Committed("listRoles", 1, func(context.Context) { events = append(events, "committed") }),
		s.Before("listRoles", 1, func(*Workspace) { events = append(events, "before") }),
	); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.want(t, http.StatusOK, http.MethodGet, "/roles", "")
		w.want(t, http.StatusOK, http.MethodGet, "/roles", "")
		s.ResetJournal()
	}
	equal(t, "events", slices.Repeat([]string{"before", "after", "committed"}, 2), events)
}
