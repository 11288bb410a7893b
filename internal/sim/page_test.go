package sim

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// pagedLists returns the target of each list with pages, and the key of its rows.
func pagedLists(w *Workspace) map[string]string {
	return map[string]string{
		"/users":                                 "users",
		"/users/" + w.Users[9].ID + "/groups":    "groups",
		"/invites":                               "invites",
		"/groups":                                "userGroups",
		"/groups/" + w.Groups[0].ID + "/users":   "users",
		"/groups/" + w.Groups[0].ID + "/invites": "emails",
		"/roles":                                 "roles",
		"/sources":                               "sources",
		"/warehouses":                            "warehouses",
		"/functions?resourceType=DESTINATION":    "functions",
		"/spaces":                                "spaces",
	}
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// readAll reads all pages of a list, with the parameters in the given spelling.
func (c rawClient) readAll(t testingT, target, key string, count int, spelling string) []any {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatalf("%v", err)
	}
	var rows []any
	seen := map[string]bool{}
	for cursor := ""; ; {
		q := u.Query()
		q.Set(fmt.Sprintf(spelling, "count"), fmt.Sprint(count))
		if cursor != "" {
			q.Set(fmt.Sprintf(spelling, "cursor"), cursor)
		}
		a := c.want(t, http.StatusOK, http.MethodGet, u.Path+"?"+q.Encode(), "")
		page, isList := a.Data[key].([]any)
		if !isList || len(page) > count {
			t.Fatalf("%s: %s", target, a.Raw)
		}
		rows = append(rows, page...)
		info, isObject := a.Data["pagination"].(map[string]any)
		if !isObject {
			t.Fatalf("%s: no pagination in %s", target, a.Raw)
		}
		if cursor != "" && info["current"] != cursor {
			t.Fatalf("%s: current is %v, asked for %s", target, info["current"], cursor)
		}
		next, more := info["next"].(string)
		if !more || next == "" {
			return rows
		}
		if seen[next] || len(page) == 0 {
			t.Fatalf("%s: cursor %s does not lead on", target, next)
		}
		seen[next] = true
		cursor = next
	}
}

func TestPages_OfAnySizeGiveTheSameList(t *testing.T) {
	t.Parallel()
	demo := Demo()
	lists := pagedLists(demo)
	wires := []rawClient{
		newRawClient(t, New(demo)),
		newRawClient(t, New(demo, WithNext(NextNull))),
		newRawClient(t, New(demo, WithNext(NextEmpty))),
	}
	rapid.Check(t, func(r *rapid.T) {
		w := rapid.SampledFrom(wires).Draw(r, "next")
		target := rapid.SampledFrom(sortedKeys(lists)).Draw(r, "list")
		spelling := rapid.SampledFrom([]string{"pagination[%s]", "pagination.%s"}).Draw(r, "spelling")
		count := rapid.OneOf(rapid.IntRange(1, 45), rapid.Just(maxCount)).Draw(r, "count")
		whole := wires[0].readAll(r, target, lists[target], maxCount, "pagination.%s")
		if len(whole) == 0 {
			r.Fatalf("%s: nothing to page through", target)
		}
		equal(r, target, whole, w.readAll(r, target, lists[target], count, spelling))
	})
}

func TestPages_RefusedParameters(t *testing.T) {
	t.Parallel()
	w := newRawClient(t, New(Demo()))
	for _, query := range []string{
		"pagination[count]=0", "pagination.count=0", "pagination.count=-1", "pagination[count]=1001",
		"pagination.count=", "pagination.count=ten", "pagination.count=1.5",
		"pagination.cursor=", "pagination.cursor=garbage", "pagination[cursor]=MA", "pagination.cursor=LTE%3D",
		"pagination.cursor=MDA%3D", "pagination.cursor=eA%3D%3D",
	} {
		a := w.want(t, http.StatusUnprocessableEntity, http.MethodGet, "/users?"+query, "")
		equal(t, query, "input-validation", a.Errors[0].Type)
	}
	// Cursors of /users begin at 0, those of /functions at 1.
	w.want(t, http.StatusUnprocessableEntity, http.MethodGet, "/functions?resourceType=SOURCE&pagination.cursor=MA%3D%3D", "")
	for _, query := range []string{"", "?resourceType=", "?resourceType=TRANSFORMATION"} {
		w.want(t, http.StatusUnprocessableEntity, http.MethodGet, "/functions"+query, "")
	}
}

func TestWithNext(t *testing.T) {
	t.Parallel()
	for form, want := range map[NextForm]map[string]string{
		NextAbsent: {"": `{"current":"MA==","totalEntries":2}`,
			"?pagination.count=1":                            `{"current":"MA==","next":"MQ==","totalEntries":2}`,
			"?pagination.count=1&pagination.cursor=MQ%3D%3D": `{"current":"MQ==","previous":"MA==","totalEntries":2}`},
		NextNull: {"": `{"current":"MA==","next":null,"previous":null,"totalEntries":2}`,
			"?pagination.count=1": `{"current":"MA==","next":"MQ==","previous":null,"totalEntries":2}`},
		NextEmpty: {"": `{"current":"MA==","next":"","previous":"","totalEntries":2}`,
			"?pagination.count=1&pagination.cursor=MQ%3D%3D": `{"current":"MQ==","next":"","previous":"MA==","totalEntries":2}`},
	} {
		w := newRawClient(t, New(sampleWorkspace(), WithNext(form)))
		for query, pagination := range want {
			a := w.want(t, http.StatusOK, http.MethodGet, "/users"+query, "")
			equal(t, fmt.Sprintf("form %d %s", form, query), jsonValue(t, pagination), a.Data["pagination"])
		}
	}
}

func TestDefaultPageSize(t *testing.T) {
	t.Parallel()
	ws := Empty()
	for i := range defaultCount + 1 {
		ws.Users = append(ws.Users, User{ID: fmt.Sprint(i), Email: fmt.Sprintf("%d@example.com", i)})
	}
	s := New(ws)
	w := newRawClient(t, s)
	a := w.want(t, http.StatusOK, http.MethodGet, "/users", "")
	users, isList := a.Data["users"].([]any)
	if !isList || len(users) != 200 {
		t.Errorf("%d users on a page without a count, want 200", len(users))
	}
	// If rows are removed between two pages, the cursor is beyond the end.
	s.Update(func(ws *Workspace) { ws.Users = ws.Users[:10] })
	a = w.want(t, http.StatusOK, http.MethodGet, "/users?pagination.cursor=MjAw", "")
	equal(t, "page beyond the end", any(map[string]any{
		"users":      []any{},
		"pagination": map[string]any{"current": "MjAw", "previous": "MA==", "totalEntries": 10.0},
	}), any(a.Data))
}

func TestWithPermissionsInLists(t *testing.T) {
	t.Parallel()
	demo := Demo()
	carry := func(w rawClient, target, key string) bool {
		rows := w.readAll(t, target, key, maxCount, "pagination.%s")
		return slices.ContainsFunc(rows, func(row any) bool {
			m, isObject := row.(map[string]any)
			return isObject && m["permissions"] != nil
		})
	}
	for _, list := range [][2]string{{"/users", "users"}, {"/groups", "userGroups"}} {
		if carry(newRawClient(t, New(demo)), list[0], list[1]) {
			t.Errorf("%s carries permissions", list[0])
		}
		if !carry(newRawClient(t, New(demo, WithPermissionsInLists())), list[0], list[1]) {
			t.Errorf("%s carries no permissions although asked to", list[0])
		}
	}
}
