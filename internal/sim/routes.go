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
	// write is set if Segment documents a limit of 60 requests a minute.
	write  bool
	handle func(*call) (reply, *problem)
	// feature is the feature that the workspace must have, if any.
	feature Feature
}

// Operations lists what a Server serves.
func Operations() []Operation {
	return mapSlice(operations(), func(o operation) Operation { return o.Operation })
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
		// In all official clients these two are on the singular path. Nothing
		// suggests that the plural works as well.
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

		of(FeatureAuditTrail, read("listAuditEvents", "/audit-events", listAuditEvents)),
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

// A match receives the operation of a request from a ServeMux, before anything is
// answered. It discards the answers of the mux itself.
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

// route returns the operation of a request, and the request with the values of its
// path. The operation is nil if there is none. That includes HEAD, which a mux treats
// as GET, and paths that a mux would redirect, such as //users, the result of a slash
// after the base URL.
func (s *Server) route(r *http.Request) (*operation, *http.Request) {
	// The mux writes to the request, which a RoundTripper must not do: use a copy.
	r = r.WithContext(r.Context())
	if r.URL.Path == "" {
		// Over a network an empty path is sent as a slash.
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
