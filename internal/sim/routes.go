package sim

import (
	"net/http"
	"path"
)

// An Operation is one operation of the Public API, named as the official
// client names it.
type Operation struct {
	Name   string
	Method string
	// Path is a pattern of net/http.ServeMux.
	Path string
}

type operation struct {
	Operation
	// write marks what Segment documents with 60 requests a minute.
	write  bool
	handle func(*call) (reply, *problem)
	// feature is what a workspace must have for it, if anything.
	feature Feature
}

// Operations lists what a Server serves.
func Operations() []Operation {
	return each(operations(), func(o operation) Operation { return o.Operation })
}

func operations() []operation {
	read := func(name, path string, h func(*call) (reply, *problem)) operation {
		return operation{Operation: Operation{name, http.MethodGet, path}, handle: h}
	}
	write := func(name, method, path string, h func(*call) (reply, *problem)) operation {
		return operation{Operation: Operation{name, method, path}, write: true, handle: h}
	}
	of := func(f Feature, o operation) operation {
		o.feature = f
		return o
	}
	return []operation{
		read("getWorkspace", "/{$}", getWorkspace),

		read("listUsers", "/users", listUsers),
		read("getUser", "/users/{id}", getUser),
		of(FeatureGroups, read("listUserGroupsFromUser", "/users/{id}/groups", listUserGroupsFromUser)),
		write("addPermissionsToUser", http.MethodPost, "/users/{id}/permissions", addPermissionsToUser),
		write("replacePermissionsForUser", http.MethodPut, "/users/{id}/permissions", replacePermissionsForUser),
		write("deleteUsers", http.MethodDelete, "/users", deleteUsers),

		read("listInvites", "/invites", listInvites),
		write("createInvites", http.MethodPost, "/invites", createInvites),
		write("deleteInvites", http.MethodDelete, "/invites", deleteInvites),

		of(FeatureGroups, read("listUserGroups", "/groups", listUserGroups)),
		of(FeatureGroups, write("createUserGroup", http.MethodPost, "/groups", createUserGroup)),
		of(FeatureGroups, read("getUserGroup", "/groups/{id}", getUserGroup)),
		of(FeatureGroups, write("updateUserGroup", http.MethodPatch, "/groups/{id}", updateUserGroup)),
		of(FeatureGroups, write("deleteUserGroup", http.MethodDelete, "/groups/{id}", deleteUserGroup)),
		of(FeatureGroups, read("listUsersFromUserGroup", "/groups/{id}/users", listUsersFromUserGroup)),
		of(FeatureGroups, write("addUsersToUserGroup", http.MethodPost, "/groups/{id}/users", addUsersToUserGroup)),
		// These two are on the singular path in every official client, and
		// nothing shows that the plural works too.
		of(FeatureGroups, write("replaceUsersInUserGroup", http.MethodPut, "/group/{id}/users", replaceUsersInUserGroup)),
		of(FeatureGroups, write("removeUsersFromUserGroup", http.MethodDelete, "/group/{id}/users", removeUsersFromUserGroup)),
		of(FeatureGroups, read("listInvitesFromUserGroup", "/groups/{id}/invites", listInvitesFromUserGroup)),
		of(FeatureGroups, write("addPermissionsToUserGroup", http.MethodPost, "/groups/{id}/permissions", addPermissionsToUserGroup)),
		of(FeatureGroups, write("replacePermissionsForUserGroup", http.MethodPut, "/groups/{id}/permissions", replacePermissionsForUserGroup)),

		read("listRoles", "/roles", listRoles),
		read("listSources", "/sources", listSources),
		read("getSource", "/sources/{id}", getSource),
		of(FeatureWarehouses, read("listWarehouses", "/warehouses", listWarehouses)),
		of(FeatureWarehouses, read("getWarehouse", "/warehouses/{id}", getWarehouse)),
		of(FeatureFunctions, read("listFunctions", "/functions", listFunctions)),
		of(FeatureFunctions, read("getFunction", "/functions/{id}", getFunction)),
		of(FeatureSpaces, read("listSpaces", "/spaces", listSpaces)),
		of(FeatureSpaces, read("getSpace", "/spaces/{id}", getSpace)),
		of(FeatureLabels, read("listLabels", "/labels", listLabels)),
		of(FeatureLabels, write("createLabel", http.MethodPost, "/labels", createLabel)),
		of(FeatureLabels, write("deleteLabel", http.MethodDelete, "/labels/{key}/{value}", deleteLabel)),
	}
}

func newRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	for _, op := range operations() {
		mux.HandleFunc(op.Method+" "+op.Path, func(w http.ResponseWriter, r *http.Request) {
			if m, routing := w.(*match); routing && r.Method == op.Method {
				m.operation, m.request = &op, r
			}
		})
	}
	return mux
}

// A match makes a ServeMux say which operation a request is for, before
// anything is answered. What the mux itself would answer is dropped.
type match struct {
	operation *operation
	request   *http.Request
	header    http.Header
}

// Header implements http.ResponseWriter.
func (m *match) Header() http.Header { return m.header }

// Write implements http.ResponseWriter.
func (m *match) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader implements http.ResponseWriter.
func (m *match) WriteHeader(int) {}

// route finds the operation of a request and returns a request that has the
// values of its path. The operation is nil where there is none: also for
// another method (HEAD, which a mux takes for GET) and for a path that the
// mux would redirect (//users, which a slash after the base URL makes).
func (s *Server) route(r *http.Request) (*operation, *http.Request) {
	// A copy, because the mux writes to the request, which a RoundTripper
	// must not do.
	r = r.WithContext(r.Context())
	if r.URL.Path == "" {
		// A network sends it as a slash.
		u := *r.URL
		u.Path = "/"
		r.URL = &u
	}
	if p := r.URL.EscapedPath(); path.Clean(p) != p {
		return nil, r
	}
	m := &match{request: r, header: http.Header{}}
	s.routes.ServeHTTP(m, r)
	return m.operation, m.request
}
