package sim

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// listed returns the names of the groups in a list.
func listed(t *testing.T, w rawClient, target string) string {
	t.Helper()
	a := w.want(t, http.StatusOK, http.MethodGet, target, "")
	rows, isList := a.Data["userGroups"].([]any)
	if !isList {
		t.Fatalf("no groups in %s", a.Raw)
	}
	var names []string
	for _, row := range rows {
		group, isObject := row.(map[string]any)
		name, isString := group["name"].(string)
		if !isObject || !isString {
			t.Fatalf("row %v", row)
		}
		names = append(names, name)
	}
	return strings.Join(names, ",")
}

// addGroup adds a group as another administrator.
func addGroup(name string) func(*Workspace) {
	return func(w *Workspace) { w.Groups = append(w.Groups, Group{ID: name, Name: name}) }
}

func TestWithLag_ReadsShowTheStateOfThen(t *testing.T) {
	t.Parallel()
	for name, commit := range map[string]func(*testing.T, rawClient){
		"write": func(t *testing.T, w rawClient) {
			t.Helper()
			w.want(t, http.StatusOK, http.MethodPost, "/groups", `{"name":"new"}`)
		},
		"update": func(t *testing.T, w rawClient) {
			t.Helper()
			w.server.Update(addGroup("new"))
		},
		"edit before a request": func(t *testing.T, w rawClient) {
			t.Helper()
			before(t, w.server, "listUserGroups", 3, addGroup("new"))
			// An edit before a read is no older than the read, so that it does not show it.
			equal(t, "at once", "old", listed(t, w, "/groups"))
		},
		"edit before a refused request": func(t *testing.T, w rawClient) {
			t.Helper()
			before(t, w.server, "createUserGroup", 1, addGroup("new"))
			w.want(t, http.StatusUnprocessableEntity, http.MethodPost, "/groups", `{}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := New(&Workspace{Groups: []Group{{ID: "old", Name: "old"}}}, WithLag(time.Minute))
				w := newRawClient(t, s)
				<-time.After(time.Hour)
				equal(t, "at first", "old", listed(t, w, "/groups"))
				// The cache of rows by id must not outlive a version either.
				w.want(t, http.StatusNotFound, http.MethodGet, "/groups/new", "")
				equal(t, "second", "old", listed(t, w, "/groups"))
				commit(t, w)
				equal(t, "newest", "old,new", groupNames(s.Workspace()))
				id := s.Workspace().Groups[1].ID
				for _, wait := range []time.Duration{time.Nanosecond, time.Minute - 2*time.Nanosecond} {
					<-time.After(wait)
					equal(t, "within the lag", "old", listed(t, w, "/groups"))
					w.want(t, http.StatusNotFound, http.MethodGet, "/groups/"+id, "")
					w.want(t, http.StatusNotFound, http.MethodGet, "/groups/"+id+"/users", "")
				}
				<-time.After(time.Nanosecond)
				equal(t, "after the lag", "old,new", listed(t, w, "/groups"))
				w.want(t, http.StatusOK, http.MethodGet, "/groups/"+id, "")
			})
		})
	}
}

// Writes know what reads do not show yet.
func TestWithLag_WritesAreMadeToTheNewestState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Empty(), WithLag(time.Minute))
		w := newRawClient(t, s)
		ids := make([]string, 0, 3)
		for _, name := range []string{"a", "b", "c"} {
			w.want(t, http.StatusOK, http.MethodPost, "/groups", `{"name":"`+name+`"}`)
			groups := s.Workspace().Groups
			ids = append(ids, groups[len(groups)-1].ID)
			<-time.After(time.Second)
		}
		a := w.want(t, http.StatusOK, http.MethodPatch, "/groups/"+ids[0], `{"name":"a2"}`)
		if !strings.Contains(string(a.Raw), "a2") {
			t.Errorf("got %s", a.Raw)
		}
		w.want(t, http.StatusOK, http.MethodDelete, "/groups/"+ids[1], "")
		w.want(t, http.StatusNotFound, http.MethodDelete, "/groups/"+ids[1], "")
		equal(t, "newest", "a2,c", groupNames(s.Workspace()))
		<-time.After(time.Minute - 3*time.Second)
		for _, want := range []string{"a", "a,b", "a,b,c", "a2,c", "a2,c"} {
			equal(t, "a minute ago", want, listed(t, w, "/groups"))
			<-time.After(time.Second)
		}
	})
}

func TestWithLag_OldStatesAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Empty(), WithLag(10*time.Second))
		w := newRawClient(t, s)
		for i := range 100 {
			s.Update(addGroup("group"))
			names := strings.Fields(strings.ReplaceAll(listed(t, w, "/groups"), ",", " "))
			equal(t, "groups of ten seconds ago", max(0, i-9), len(names))
			<-time.After(time.Second)
		}
		if len(s.older) > 11 {
			t.Errorf("%d states of 10 seconds with one change a second", len(s.older))
		}
		s.SetLag(0)
		s.Update(addGroup("group"))
		equal(t, "states without a lag", 0, len(s.older))
	})
}

func TestSetLag(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(&Workspace{})
		w := newRawClient(t, s)
		s.Update(addGroup("a"))
		equal(t, "without a lag", "a", listed(t, w, "/groups"))
		s.SetLag(time.Minute)
		equal(t, "what was replaced without a lag is not known", "a", listed(t, w, "/groups"))
		s.Update(addGroup("b"))
		equal(t, "with a lag", "a", listed(t, w, "/groups"))
		s.SetLag(0)
		equal(t, "without a lag", "a,b", listed(t, w, "/groups"))
	})
}

func TestWithReplicas_ReadsOfOnePathAlternate(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		opts []Option
		want []string
	}{
		"two":                 {[]Option{WithReplicas(2, time.Minute)}, []string{"a,b,c", "a,b", "a,b,c", "a,b"}},
		"three":               {[]Option{WithReplicas(3, time.Minute)}, []string{"a,b,c", "a,b", "a", "a,b,c"}},
		"two with a lag":      {[]Option{WithLag(time.Minute), WithReplicas(2, time.Minute)}, []string{"a,b", "a", "a,b"}},
		"one":                 {[]Option{WithReplicas(1, time.Minute)}, []string{"a,b,c", "a,b,c"}},
		"none":                {nil, []string{"a,b,c", "a,b,c"}},
		"two without any lag": {[]Option{WithReplicas(2, 0)}, []string{"a,b,c", "a,b,c"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := New(&Workspace{}, row.opts...)
				for _, group := range []string{"a", "b", "c"} {
					s.Update(addGroup(group))
					<-time.After(59 * time.Second)
				}
				w := newRawClient(t, s)
				for i, want := range row.want {
					// Other paths have a count of their own, other queries have not.
					w.want(t, http.StatusOK, http.MethodGet, "/groups/a", "")
					equal(t, "read of "+name, want, listed(t, w, []string{"/groups", "/groups?pagination.count=100"}[i%2]))
				}
				s.ResetJournal()
				equal(t, "first read after the reset", row.want[0], listed(t, w, "/groups"))
				s.SetReplicas(1, 0)
				s.SetLag(0)
				equal(t, "one replica", "a,b,c", listed(t, w, "/groups"))
			})
		})
	}
}

func TestFoldEmail(t *testing.T) {
	t.Parallel()
	for email, want := range map[string]string{
		"ABCXYZ@Example.COM": "abcxyz@example.com",
		// KELVIN SIGN, capital I with a dot, capital letters beyond A to Z.
		"\u212Aelvin@example.com": "\u212Aelvin@example.com",
		"\u0130@example.com":      "\u0130@example.com",
		"ÄÉ\u00A0@[`{@":           "ÄÉ\u00A0@[`{@",
	} {
		equal(t, email, want, foldEmail(email))
	}
	ws := Empty()
	ws.Users = []User{{ID: "k", Email: "kim@example.com"}}
	w := newRawClient(t, New(ws))
	w.want(t, http.StatusConflict, http.MethodPost, "/invites", `{"invites":[{"email":"KIM@example.com"}]}`)
	w.want(t, http.StatusOK, http.MethodPost, "/groups", `{"name":"g"}`)
	id := w.server.Workspace().Groups[0].ID
	w.want(t, http.StatusUnprocessableEntity, http.MethodPost, "/groups/"+id+"/users", `{"emails":["`+"\u212A"+`im@example.com"]}`)
	w.want(t, http.StatusOK, http.MethodPost, "/groups/"+id+"/users", `{"emails":["KIM@example.com"]}`)
	equal(t, "members", []string{"kim@example.com"}, slices.Clone(w.server.Workspace().Groups[0].Members))
}
