package sim

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// ids returns the ids of the rows of a page.
func ids(t testingT, a response, key string) []string {
	t.Helper()
	rows, isList := a.Data[key].([]any)
	if !isList {
		t.Fatalf("no %s in %s", key, a.Raw)
	}
	out := make([]string, 0, len(rows))
	for _, row := range rows {
		m, isObject := row.(map[string]any)
		if !isObject {
			t.Fatalf("row %v", row)
		}
		id, isString := m["id"].(string)
		if !isString {
			t.Fatalf("row %v", row)
		}
		out = append(out, id)
	}
	return out
}

// before plans an edit and ends the test on an error.
func before(t *testing.T, s *Server, operation string, ordinal int, edit func(*Workspace)) {
	t.Helper()
	if err := s.Before(operation, ordinal, edit); err != nil {
		t.Fatal(err)
	}
}

func TestBefore_RowsMoveBetweenPages(t *testing.T) {
	t.Parallel()
	ws := Empty()
	for _, id := range []string{"a", "b", "c", "d"} {
		ws.Users = append(ws.Users, User{ID: id, Email: id + "@example.com"})
	}
	s := New(ws)
	before(t, s, "listUsers", 2, func(w *Workspace) { w.Users = slices.Delete(w.Users, 0, 1) })
	before(t, s, "listUsers", 3, func(w *Workspace) {
		w.Users = slices.Insert(w.Users, 0, User{ID: "new", Email: "new@example.com"})
	})
	w := newRawClient(t, s)
	first := w.want(t, http.StatusOK, http.MethodGet, "/users?pagination.count=2", "")
	equal(t, "first page", []string{"a", "b"}, ids(t, first, "users"))
	second := w.want(t, http.StatusOK, http.MethodGet, "/users?pagination.count=2&pagination.cursor=Mg%3D%3D", "")
	equal(t, "second page, after a is gone: c is skipped", []string{"d"}, ids(t, second, "users"))
	third := w.want(t, http.StatusOK, http.MethodGet, "/users?pagination.count=2&pagination.cursor=Mg%3D%3D", "")
	equal(t, "second page, after a new one: c is there", []string{"c", "d"}, ids(t, third, "users"))
	// The journal has no entries for edits.
	equal(t, "requests", 3, len(s.Journal()))
	equal(t, "users", []string{"new", "b", "c", "d"}, mapSlice(s.Workspace().Users, func(u User) string { return u.ID }))
}

func TestBefore_RowsChangeBetweenListAndDetail(t *testing.T) {
	t.Parallel()
	s := New(Demo())
	gone, renamed := Demo().Users[0].ID, Demo().Users[1].ID
	before(t, s, "getUser", 1, func(w *Workspace) { w.Users = w.Users[1:] })
	before(t, s, "getUser", 2, func(w *Workspace) { w.Users[0].Name = "Renamed" })
	w := newRawClient(t, s)
	w.want(t, http.StatusOK, http.MethodGet, "/users", "")
	w.want(t, http.StatusOK, http.MethodGet, "/users/"+gone+"/groups", "")
	w.want(t, http.StatusNotFound, http.MethodGet, "/users/"+gone, "")
	a := w.want(t, http.StatusOK, http.MethodGet, "/users/"+renamed, "")
	if !strings.Contains(string(a.Raw), `"name":"Renamed"`) {
		t.Errorf("got %s", a.Raw)
	}
}

// Edits are made in order, once each, even if the request fails.
func TestBefore_EditsAreMadeEvenIfTheRequestFails(t *testing.T) {
	t.Parallel()
	send := func(w rawClient) { w.send(t, http.MethodPost, "/groups", `{"name":"made"}`) }
	note := func(text string) func(*Workspace) {
		return func(w *Workspace) { w.Slug += text + "(" + groupNames(w) + ")" }
	}
	for name, row := range map[string]struct {
		opts  []Option
		fault *Fault
		send  func(rawClient)
		want  string
	}{
		"carried out":           {nil, nil, send, "|always()|first()|other()|always(made)"},
		"refused":               {nil, nil, func(w rawClient) { w.send(t, http.MethodPost, "/groups", `{}`) }, "|always()|first()|other()|always()"},
		"without a token":       {nil, nil, func(w rawClient) { w.sendAs(t, "", http.MethodPost, "/groups", `{"name":"made"}`) }, "|always()|first()|other()|always()"},
		"gated":                 {[]Option{WithoutFeatures(FeatureGroups)}, nil, send, "|always()|first()|other()|always()"},
		"over the limit":        {[]Option{WithWriteLimit(1)}, nil, send, "|always()|first()|other()|always(made)"},
		"a fault instead of it": {nil, &Fault{Kind: FaultStatus}, send, "|always()|first()|other()|always()"},
		"a fault after it":      {nil, &Fault{Kind: FaultLateStatus}, send, "|always()|first()|other()|always(made)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New(&Workspace{}, row.opts...)
			w := newRawClient(t, s)
			before(t, s, "createUserGroup", 0, note("|always"))
			before(t, s, "createUserGroup", 1, note("|first"))
			before(t, s, "createUserGroup", 1, note("|other"))
			before(t, s, "updateUserGroup", 1, note("|never"))
			if row.fault != nil {
				row.fault.Operation = "createUserGroup"
				if err := s.Inject(*row.fault); err != nil {
					t.Fatal(err)
				}
			}
			row.send(w)
			row.send(w)
			// The first request was earlier, until the journal is reset.
			before(t, s, "createUserGroup", 1, note("|late"))
			equal(t, "edits", row.want, s.Workspace().Slug)
			row.send(w)
			if strings.Contains(s.Workspace().Slug, "|late") {
				t.Error("an edit was made for an earlier request")
			}
			s.ResetJournal()
			before(t, s, "createUserGroup", 2, note("|second"))
			row.send(w)
			row.send(w)
			got := s.Workspace().Slug
			if strings.Count(got, "|first") != 2 || strings.Count(got, "|second") != 1 || strings.Count(got, "|late") != 1 {
				t.Errorf("after the journal was reset: %s", got)
			}
		})
	}
}

func groupNames(w *Workspace) string {
	return strings.Join(mapSlice(w.Groups, func(g Group) string { return g.Name }), ",")
}

func TestBefore_EditAndRequestAreAtomic(t *testing.T) {
	t.Parallel()
	s := New(&Workspace{})
	edits := 0
	before(t, s, "getWorkspace", 0, func(w *Workspace) {
		edits++
		w.Name = strconv.Itoa(edits)
	})
	client := &http.Client{Transport: s.RoundTripper()}
	// With so many requests, some wait for others.
	const requests = 2000
	var (
		all    sync.WaitGroup
		begin  = make(chan struct{})
		bodies = make([]string, requests)
	)
	for i := range requests {
		all.Go(func() {
			<-begin
			bodies[i] = exchange(t, s, client, http.MethodGet, "https://api.segment.test/", "").body
		})
	}
	close(begin)
	all.Wait()
	slices.Sort(bodies)
	// If a request came between another edit and its request, both would have the same
	// answer.
	equal(t, "different answers", requests, len(slices.Compact(bodies)))
}

func TestBefore_RefusesEditsThatAreNeverMade(t *testing.T) {
	t.Parallel()
	s := New(Demo())
	for operation, ordinal := range map[string]int{"listusers": 1, "": 0, "listUsers": -1} {
		if err := s.Before(operation, ordinal, func(*Workspace) {}); err == nil || !strings.Contains(err.Error(), operation) {
			t.Errorf("%q, %d: error is %v", operation, ordinal, err)
		}
	}
}

func TestInject_FaultOnAQuery(t *testing.T) {
	t.Parallel()
	s := New(Demo())
	w := newRawClient(t, s)
	list := func(kind string) int {
		return w.send(t, http.MethodGet, "/functions?resourceType="+kind, "").Status
	}
	// Earlier requests count as well, but only those with the query.
	list("SOURCE")
	list("DESTINATION")
	if err := s.Inject(
		Fault{Operation: "listFunctions", Query: "resourceType=SOURCE", Ordinal: 2, Kind: FaultStatus, Status: 503},
		Fault{Operation: "listFunctions", Query: "resourceType=INSERT_DESTINATION", Kind: FaultStatus, Status: 404},
		Fault{Operation: "listFunctions", Ordinal: 5, Kind: FaultStatus, Status: 418},
	); err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		kind   string
		status int
	}{
		{"DESTINATION", 200},
		{"INSERT_DESTINATION", 404},
		// It is the fifth of all and the second of its query: the first fault applies.
		{"SOURCE", 503},
		{"SOURCE", 200},
		{"INSERT_SOURCE", 200},
		{"INSERT_DESTINATION", 404},
	} {
		if got := list(step.kind); got != step.status {
			t.Errorf("request %d, %s: status %d, want %d", i, step.kind, got, step.status)
		}
	}
	s.ResetJournal()
	equal(t, "first after the reset", 200, list("SOURCE"))
	equal(t, "second after the reset", 503, list("SOURCE"))
}
