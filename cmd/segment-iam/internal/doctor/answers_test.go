package doctor

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// The names of checks.
const (
	fields             = "fields and types of answers"
	failures           = "requests that failed"
	permissionsInLists = "permissions in the lists of users and groups"
	badTokens          = "the answer to a token that does not exist"
	memberTokens       = "the answer to a token with less than Workspace Owner"
	plan               = "the answer if the plan lacks a type"
	memberCount        = "the member count of groups with pending invites"
	spaceIDs           = "the form of ids of spaces"
	warehouseScopes    = "roles held on a single warehouse"
	roleScopes         = "roles and the types that they are held on"
	repeatedRoles      = "one role in two permissions, and several types in one"
	counts             = "limits of counts"
	repeatedRows       = "rows that a list repeats"
	lastCursor         = "the cursor on the last page of a list"
	limitHeaders       = "headers about the rate limit"
	resetHeader        = "the header X-RateLimit-Reset"
	dangling           = "permissions on resources that are in no list"
	functionIDs        = "the form of ids of functions in permissions"
	invitees           = "invited people among the users"
	groupPermissions   = "roles of groups in the details of users"
	acceptedInvites    = "accepted invites that are still listed"
	details            = "permissions in the details of users and groups"
	pageSize           = "pages of 1000 rows"
)

// An answer is one of those that Segment may give to an open question.
type answer struct {
	// check is the name of the check that is about it.
	check string
	// edit changes the demo, which has no oddity of its own.
	edit   func(*sim.Workspace)
	opts   []sim.Option
	fault  sim.Fault
	member string

	verdict Verdict
	// seen is a part of what the check has seen.
	seen string
	// unsafe names what the report calls unsafe.
	unsafe string
}

func (a answer) server(t *testing.T, ws *sim.Workspace) *sim.Server {
	t.Helper()
	if a.edit != nil {
		a.edit(ws)
	}
	s := sim.New(ws, a.opts...)
	if a.fault.Operation != "" {
		if err := s.Inject(a.fault); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// answers returns the table of all answers, by a name for each.
func answers() map[string]answer {
	all := map[string]answer{}
	for _, part := range []map[string]answer{
		fieldAnswers(), failureAnswers(), listAnswers(), tokenAnswers(), memberAnswers(), planAnswers(), countAnswers(), cursorAnswers(),
		limitAnswers(), resetAnswers(), scopeAnswers(), spaceAnswers(), functionAnswers(), inviteAnswers(), detailAnswers(), pageAnswers(),
	} {
		maps.Copy(all, part)
	}
	return all
}

// onData changes the value of "data" in the answers of an operation.
func onData(operation string, edit func(map[string]any)) sim.Option {
	return sim.WithAnswers(func(a *sim.Answer) {
		if data := a.Data(); a.Operation == operation && data != nil {
			edit(data)
		}
	})
}

// onRows changes each row of a list.
func onRows(operation, list string, edit func(map[string]any)) sim.Option {
	return onData(operation, func(data map[string]any) {
		for _, row := range rowsOf(data[list]) {
			if object, ok := row.(map[string]any); ok {
				edit(object)
			}
		}
	})
}

// onMember changes an object in an answer.
func onMember(operation, name string, edit func(map[string]any)) sim.Option {
	return onData(operation, func(data map[string]any) {
		if object, ok := data[name].(map[string]any); ok {
			edit(object)
		}
	})
}

// failing makes an operation fail.
func failing(operation string, status int) sim.Option {
	return sim.WithAnswers(func(a *sim.Answer) {
		if a.Operation == operation {
			a.Fail(status)
		}
	})
}

// forToken changes the answers to requests with a token.
func forToken(token string, edit func(*sim.Answer)) sim.Option {
	return sim.WithAnswers(func(a *sim.Answer) {
		if a.Request.Header.Get("Authorization") == "Bearer "+token {
			edit(a)
		}
	})
}

// first returns the first row of a list.
func first(list any) []any {
	rows := rowsOf(list)
	return rows[:min(len(rows), 1)]
}

func opts(all ...sim.Option) []sim.Option { return all }

// roleID returns the id of a role.
func roleID(ws *sim.Workspace, name string) string {
	return ws.Roles[slices.IndexFunc(ws.Roles, func(r sim.Role) bool { return r.Name == name })].ID
}

// grant gives the user at index i a role on resources.
func grant(ws *sim.Workspace, i int, role string, resources ...sim.Resource) {
	ws.Users[i].Permissions = append(ws.Users[i].Permissions, sim.Permission{RoleID: roleID(ws, role), Resources: resources})
}

func on(scope, id string) sim.Resource { return sim.Resource{Type: scope, ID: id} }

// onlyMinimal leaves everybody but the first user, an owner, with Minimal Workspace Access.
func onlyMinimal(ws *sim.Workspace) {
	minimal := []sim.Permission{{RoleID: roleID(ws, "Minimal Workspace Access"), Resources: []sim.Resource{on("WORKSPACE", ws.ID)}}}
	for i := range ws.Users[1:] {
		ws.Users[i+1].Permissions = minimal
	}
	for i := range ws.Groups {
		ws.Groups[i].Permissions = minimal
	}
}

func fieldAnswers() map[string]answer {
	userField := func(key string, value any) []sim.Option {
		return opts(onRows("listUsers", "users", func(row map[string]any) { row[key] = value }))
	}
	return map[string]answer{
		"fields: known":            {check: fields, verdict: AsAssumed, seen: "no others"},
		"fields: those of samples": {check: fields, opts: opts(sim.WithNormalizing(sim.NormalizeKnownFields)), verdict: AsAssumed, seen: "no others"},
		"fields: a string":         {check: fields, opts: userField("lastSeen", "today"), verdict: Differs, seen: "/users.data.users[].lastSeen: string"},
		"fields: an object":        {check: fields, opts: userField("sso", map[string]any{"x": 1}), verdict: Differs, seen: "/users.data.users[].sso: object"},
		"fields: a list":           {check: fields, opts: userField("tags", []any{"x"}), verdict: Differs, seen: "/users.data.users[].tags: list"},
		"fields: null":             {check: fields, opts: userField("tags", nil), verdict: Differs, seen: "/users.data.users[].tags: null"},
		"fields: a boolean":        {check: fields, opts: userField("active", true), verdict: Differs, seen: "/users.data.users[].active: boolean"},
		"fields: an odd name":      {check: fields, opts: userField("ann@example.com", 1), verdict: Differs, seen: "/users.data.users[].(another name): number"},
		"fields: of the workspace": {check: fields, opts: opts(onMember("getWorkspace", "workspace", func(w map[string]any) { w["tier"] = 1 })), verdict: Differs, seen: "/.data.workspace.tier: number"},
		"fields: beside data":      {check: fields, opts: opts(sim.WithAnswers(func(a *sim.Answer) { a.Body["meta"] = 1 })), verdict: Differs, seen: "/roles.meta: number"},
		"fields: another type": {check: fields, opts: opts(onRows("listUserGroups", "userGroups", func(row map[string]any) { row["memberCount"] = "3" })),
			verdict: Differs, seen: "/groups.data.userGroups[].memberCount: string instead of number", unsafe: "sync, provision"},
		"fields: a number for a name": {check: fields, opts: opts(onRows("listSpaces", "spaces", func(row map[string]any) { row["name"] = 3 })),
			verdict: Differs, seen: "/spaces.data.spaces[].name: number instead of string", unsafe: "sync, provision"},
		"fields: an object for a list": {check: fields, opts: opts(onData("listLabels", func(data map[string]any) { data["labels"] = map[string]any{} })),
			verdict: Differs, seen: "/labels.data.labels: object instead of a list", unsafe: "sync, provision"},
		"fields: a string for an object": {check: fields, opts: opts(onRows("listSources", "sources", func(row map[string]any) { row["metadata"] = "x" })),
			verdict: Differs, seen: "/sources.data.sources[].metadata: string instead of an object", unsafe: "sync, provision"},
		"fields: in permissions": {check: fields, opts: opts(sim.WithNormalizing(sim.NormalizeUnknownPermissionField)), verdict: Differs, seen: "/users/{id}.data.user.permissions[].", unsafe: "provision"},
		"fields: in resources":   {check: fields, opts: opts(sim.WithNormalizing(sim.NormalizeUnknownResourceField)), verdict: Differs, seen: ".permissions[].resources[].", unsafe: "provision"},
		"fields: in labels":      {check: fields, opts: opts(sim.WithNormalizing(sim.NormalizeUnknownLabelField)), verdict: Differs, seen: ".resources[].labels[].", unsafe: "provision"},
	}
}

func failureAnswers() map[string]answer {
	const all = "sync, provision"
	missing := func(n int) []sim.Option {
		var mu sync.Mutex
		paths := map[string]bool{}
		return opts(sim.WithAnswers(func(a *sim.Answer) {
			mu.Lock()
			defer mu.Unlock()
			if a.Operation == "getUser" && (len(paths) < n || paths[a.Request.URL.Path]) {
				paths[a.Request.URL.Path] = true
				a.Fail(http.StatusNotFound)
			}
		}))
	}
	return map[string]answer{
		"failures: none":             {check: failures, verdict: AsAssumed, seen: "none"},
		"failures: a list":           {check: failures, opts: opts(failing("listSources", http.StatusServiceUnavailable)), verdict: Differs, seen: "sources: 503", unsafe: all},
		"failures: an optional list": {check: failures, opts: opts(failing("listSpaces", http.StatusInternalServerError)), verdict: Differs, seen: "spaces: 500", unsafe: all},
		"failures: no such list":     {check: failures, opts: opts(failing("listRoles", http.StatusNotFound)), verdict: Differs, seen: "roles: 404", unsafe: all},
		"failures: no such users":    {check: failures, opts: opts(failing("listUsers", http.StatusNotFound)), verdict: Differs, seen: "users: 404", unsafe: all},
		"failures: a limit":          {check: failures, opts: opts(failing("listInvites", http.StatusTooManyRequests)), verdict: Differs, seen: "invites: 429", unsafe: all},
		"failures: details":          {check: failures, opts: opts(failing("getUser", http.StatusBadGateway)), verdict: Differs, seen: "user: 502", unsafe: all},
		"failures: details refused":  {check: failures, opts: opts(failing("getUserGroup", http.StatusBadRequest)), verdict: Differs, seen: "group: 400", unsafe: all},
		"failures: members":          {check: failures, opts: opts(failing("listUsersFromUserGroup", http.StatusInternalServerError)), verdict: Differs, seen: "members: 500", unsafe: all},
		"failures: pending members":  {check: failures, opts: opts(failing("listInvitesFromUserGroup", http.StatusForbidden)), verdict: Differs, seen: "pending members: 403", unsafe: all},
		"failures: no answer":        {check: failures, fault: sim.Fault{Operation: "listSources", Kind: sim.FaultReset}, verdict: Differs, seen: "sources: no answer", unsafe: all},
		"failures: not JSON":         {check: failures, fault: sim.Fault{Operation: "listSources", Kind: sim.FaultHTML, Status: http.StatusOK}, verdict: Differs, seen: "sources: an answer that cannot be used", unsafe: all},
		"failures: no pagination":    {check: failures, fault: sim.Fault{Operation: "listSources", Kind: sim.FaultNoPagination}, verdict: Differs, seen: "sources: an answer that cannot be used", unsafe: all},
		"failures: a redirect":       {check: failures, fault: sim.Fault{Operation: "listRoles", Kind: sim.FaultRedirect}, verdict: Differs, seen: "roles: an answer that cannot be used", unsafe: all},
		"failures: one user is gone": {check: failures, opts: missing(1), verdict: AsAssumed, seen: "none; 1 of 48 users and groups were listed and then not found"},
		"failures: users are gone":   {check: failures, opts: missing(2), verdict: Differs, seen: "2 of 48 users and groups", unsafe: all},
	}
}

func listAnswers() map[string]answer {
	without := func(operation, list string) sim.Option {
		return onRows(operation, list, func(row map[string]any) { delete(row, "permissions") })
	}
	empty := func(operation, list string) sim.Option {
		return onRows(operation, list, func(row map[string]any) { row["permissions"] = []any{} })
	}
	fewer := func(operation, list string) sim.Option {
		return onRows(operation, list, func(row map[string]any) { row["permissions"] = first(row["permissions"]) })
	}
	both := sim.WithPermissionsInLists()
	return map[string]answer{
		"lists: none":             {check: permissionsInLists, verdict: AsAssumed, seen: "0 of 40 users and 0 of 8 groups"},
		"lists: empty":            {check: permissionsInLists, opts: opts(empty("listUsers", "users"), empty("listUserGroups", "userGroups")), verdict: AsAssumed, seen: "0 of 40 users and 0 of 8 groups"},
		"lists: both":             {check: permissionsInLists, opts: opts(both), verdict: Differs, seen: "40 of 40 users and 8 of 8 groups have some"},
		"lists: users":            {check: permissionsInLists, opts: opts(both, without("listUserGroups", "userGroups")), verdict: Differs, seen: "40 of 40 users and 0 of 8 groups"},
		"lists: groups":           {check: permissionsInLists, opts: opts(both, without("listUsers", "users")), verdict: Differs, seen: "0 of 40 users and 8 of 8 groups"},
		"lists: a part":           {check: permissionsInLists, opts: opts(both, fewer("listUsers", "users")), verdict: Differs, seen: "of them have fewer than in the detail", unsafe: "sync, provision"},
		"lists: a part of groups": {check: permissionsInLists, opts: opts(both, fewer("listUserGroups", "userGroups")), verdict: Differs, seen: "6 of them have fewer", unsafe: "sync, provision"},
		"lists: nobody":           {check: permissionsInLists, edit: func(ws *sim.Workspace) { ws.Users, ws.Groups = nil, nil }, verdict: NotSeen},
	}
}

func tokenAnswers() map[string]answer {
	refused := func(status int) []sim.Option { return opts(forToken(badToken, func(a *sim.Answer) { a.Fail(status) })) }
	accepted := forToken(badToken, func(a *sim.Answer) {
		a.Status, a.Body = http.StatusOK, map[string]any{"data": map[string]any{"users": []any{}, "pagination": map[string]any{"current": "MA=="}}}
	})
	// The third list of users is that with the wrong token.
	reset := sim.Fault{Operation: "listUsers", Ordinal: 3, Kind: sim.FaultReset}
	return map[string]answer{
		"bad token: 401":       {check: badTokens, verdict: AsAssumed, seen: "401"},
		"bad token: 403":       {check: badTokens, opts: refused(http.StatusForbidden), verdict: AsAssumed, seen: "403"},
		"bad token: 400":       {check: badTokens, opts: refused(http.StatusBadRequest), verdict: Differs, seen: "400"},
		"bad token: 404":       {check: badTokens, opts: refused(http.StatusNotFound), verdict: Differs, seen: "404"},
		"bad token: 200":       {check: badTokens, opts: opts(accepted), verdict: Differs, seen: "200"},
		"bad token: 429":       {check: badTokens, opts: refused(http.StatusTooManyRequests), verdict: NotSeen, seen: "429"},
		"bad token: 503":       {check: badTokens, opts: refused(http.StatusServiceUnavailable), verdict: NotSeen, seen: "503"},
		"bad token: no answer": {check: badTokens, fault: reset, verdict: NotSeen, seen: "no answer"},
	}
}

func memberAnswers() map[string]answer {
	known := sim.WithTokens(weakToken)
	refused := func(status int) []sim.Option {
		return opts(known, forToken(weakToken, func(a *sim.Answer) { a.Fail(status) }))
	}
	shows := func(edit func(user map[string]any)) []sim.Option {
		return opts(known, forToken(weakToken, func(a *sim.Answer) {
			if user, ok := a.Data()["user"].(map[string]any); ok {
				edit(user)
			}
		}))
	}
	return map[string]answer{
		"member token: none":     {check: memberTokens, verdict: NotSeen, seen: "give --member-token"},
		"member token: 401":      {check: memberTokens, member: weakToken, verdict: AsAssumed, seen: "401"},
		"member token: 403":      {check: memberTokens, member: weakToken, opts: refused(http.StatusForbidden), verdict: AsAssumed, seen: "403"},
		"member token: 404":      {check: memberTokens, member: weakToken, opts: refused(http.StatusNotFound), verdict: Differs, seen: "404"},
		"member token: 503":      {check: memberTokens, member: weakToken, opts: refused(http.StatusServiceUnavailable), verdict: NotSeen, seen: "503"},
		"member token: no field": {check: memberTokens, member: weakToken, opts: shows(func(user map[string]any) { delete(user, "permissions") }), verdict: AsAssumed, seen: "a user without the field permissions"},
		"member token: null":     {check: memberTokens, member: weakToken, opts: shows(func(user map[string]any) { user["permissions"] = nil }), verdict: AsAssumed, seen: "a user without the field permissions"},
		"member token: nothing":  {check: memberTokens, member: weakToken, opts: shows(func(user map[string]any) { user["permissions"] = []any{} }), verdict: Differs, seen: "a user with 0 of 3 roles", unsafe: "sync"},
		"member token: a part":   {check: memberTokens, member: weakToken, opts: shows(func(user map[string]any) { user["permissions"] = first(user["permissions"]) }), verdict: Differs, seen: "a user with 1 of 3 roles", unsafe: "sync"},
		"member token: all":      {check: memberTokens, member: weakToken, opts: opts(known), verdict: Differs, seen: "a user with 3 of 3 roles"},
		"member token: nobody":   {check: memberTokens, member: weakToken, opts: opts(known), edit: func(ws *sim.Workspace) { ws.Users, ws.Groups = nil, nil }, verdict: NotSeen, seen: "nobody to ask about"},
	}
}

func planAnswers() map[string]answer {
	gated := func(status int, features ...sim.Feature) []sim.Option {
		return opts(sim.WithoutFeatures(features...), sim.WithGateStatus(status))
	}
	body := func(operation string, status int, text string) sim.Fault {
		return sim.Fault{Operation: operation, Kind: sim.FaultStatus, Status: status, Body: text}
	}
	// All features but the type of functions that is not one of the plan.
	features := slices.DeleteFunc(sim.Features(), func(f sim.Feature) bool { return f == sim.FeatureInsertTransformations })
	return map[string]answer{
		"plan: all there":       {check: plan, verdict: NotSeen, seen: "nothing is lacking"},
		"plan: 400":             {check: plan, opts: gated(http.StatusBadRequest, sim.FeatureGroups), verdict: AsAssumed, seen: "groups: 400"},
		"plan: 404":             {check: plan, opts: gated(http.StatusNotFound, features...), verdict: AsAssumed, seen: "functions: 404, groups: 404, labels: 404, spaces: 404, warehouses: 404"},
		"plan: 401":             {check: plan, opts: gated(http.StatusUnauthorized, sim.FeatureSpaces), verdict: Differs, seen: "spaces: 401", unsafe: "sync"},
		"plan: 402":             {check: plan, opts: gated(http.StatusPaymentRequired, sim.FeatureGroups), verdict: Differs, seen: "groups: 402", unsafe: "sync"},
		"plan: 403":             {check: plan, opts: gated(http.StatusForbidden, sim.FeatureGroups, sim.FeatureSpaces), verdict: Differs, seen: "groups: 403, spaces: 403", unsafe: "sync"},
		"plan: one of two":      {check: plan, opts: append(gated(http.StatusNotFound, sim.FeatureGroups), failing("listSpaces", http.StatusForbidden)), verdict: Differs, seen: "groups: 404, spaces: 403", unsafe: "sync"},
		"plan: 422":             {check: plan, opts: gated(http.StatusUnprocessableEntity, sim.FeatureFunctions), verdict: Differs, seen: "functions: 422", unsafe: "sync"},
		"plan: a field":         {check: plan, fault: body("listSpaces", http.StatusBadRequest, `{"errors":[{"type":"bad-request","field":"plan"}]}`), verdict: Differs, seen: "spaces: 400", unsafe: "sync"},
		"plan: no envelope":     {check: plan, fault: body("listSpaces", http.StatusNotFound, `{"message":"no"}`), verdict: Differs, seen: "spaces: 404", unsafe: "sync"},
		"plan: HTML":            {check: plan, fault: sim.Fault{Operation: "listSpaces", Kind: sim.FaultHTML, Status: http.StatusNotFound}, verdict: Differs, seen: "spaces: 404", unsafe: "sync"},
		"plan: an empty list":   {check: plan, edit: func(ws *sim.Workspace) { ws.Groups = nil }, verdict: NotSeen, seen: "nothing is lacking"},
		"plan: older functions": {check: plan, opts: opts(sim.WithoutFeatures(sim.FeatureInsertTransformations)), verdict: NotSeen, seen: "nothing is lacking"},
		"plan: one list fails":  {check: failures, opts: gated(http.StatusNotFound, sim.FeatureFunctions), fault: sim.Fault{Operation: "listFunctions", Query: "=INSERT_SOURCE", Kind: sim.FaultStatus, Status: http.StatusBadGateway}, verdict: Differs, seen: "functions: 502", unsafe: "sync, provision"},
		"plan: not a gate":      {check: plan, opts: opts(failing("listRoles", http.StatusNotFound)), verdict: NotSeen, seen: "nothing is lacking", unsafe: "sync, provision"},
		"plan: an outage":       {check: plan, opts: opts(failing("listSpaces", http.StatusServiceUnavailable)), verdict: NotSeen, seen: "nothing is lacking", unsafe: "sync, provision"},
	}
}

func countAnswers() map[string]answer {
	count := func(value any) []sim.Option {
		return opts(onMember("getUserGroup", "userGroup", func(group map[string]any) { group["memberCount"] = value }))
	}
	tooMany := func(status int) []sim.Option {
		return opts(sim.WithAnswers(func(a *sim.Answer) {
			if strings.Contains(a.Request.URL.RawQuery, "=1001") {
				a.Fail(status)
			}
		}))
	}
	return map[string]answer{
		"member count: with invites":    {check: memberCount, verdict: AsAssumed, seen: "of 1 such groups, 0 count users, and 1 count users and invites"},
		"member count: without invites": {check: memberCount, opts: count(6), verdict: AsAssumed, seen: "1 count users, and 0 count users and invites"},
		"member count: another":         {check: memberCount, opts: count(1), verdict: AsAssumed, seen: "0 count users, and 0 count users and invites"},
		"member count: none pending":    {check: memberCount, edit: func(ws *sim.Workspace) { ws.Invites = nil }, verdict: NotSeen, seen: "of 0 such groups"},

		"counts: refused":      {check: counts, verdict: AsAssumed, seen: "1001 rows: 422; one user or group has up to 3 permissions, and one permission up to 2 resources"},
		"counts: 200 at most":  {check: counts, opts: opts(sim.WithMaxCount(200)), verdict: AsAssumed, seen: "1001 rows: 422"},
		"counts: 413":          {check: counts, opts: tooMany(http.StatusRequestEntityTooLarge), verdict: AsAssumed, seen: "1001 rows: 413"},
		"counts: no limit":     {check: counts, opts: opts(sim.WithMaxCount(5000)), verdict: Differs, seen: "1001 rows: 200"},
		"counts: a limit":      {check: counts, opts: tooMany(http.StatusTooManyRequests), verdict: NotSeen, seen: "1001 rows: 429"},
		"counts: an outage":    {check: counts, opts: tooMany(http.StatusBadGateway), verdict: NotSeen, seen: "1001 rows: 502"},
		"counts: a bad answer": {check: counts, opts: tooMany(http.StatusUnauthorized), verdict: NotSeen, seen: "1001 rows: 401"},
	}
}

func cursorAnswers() map[string]answer {
	next := func(value any) []sim.Option {
		return opts(onMember("listSources", "pagination", func(p map[string]any) { p["next"] = value }))
	}
	const all = "sync, provision"
	return map[string]answer{
		"next: absent":  {check: lastCursor, verdict: AsAssumed, seen: `28 of "absent"`},
		"next: null":    {check: lastCursor, opts: opts(sim.WithNext(sim.NextNull)), verdict: AsAssumed, seen: `28 of "null"`},
		"next: empty":   {check: lastCursor, opts: opts(sim.WithNext(sim.NextEmpty)), verdict: AsAssumed, seen: `28 of "empty"`},
		"next: mixed":   {check: lastCursor, opts: next(nil), verdict: AsAssumed, seen: `27 of "absent", 1 of "null"`},
		"next: false":   {check: lastCursor, opts: next(false), verdict: Differs, seen: `1 of "another type"`, unsafe: all},
		"next: number":  {check: lastCursor, opts: next(1), verdict: Differs, seen: `1 of "another type"`, unsafe: all},
		"next: object":  {check: lastCursor, opts: next(map[string]any{}), verdict: Differs, seen: `1 of "another type"`, unsafe: all},
		"next: itself":  {check: lastCursor, fault: sim.Fault{Operation: "listSources", Kind: sim.FaultRepeatCursor}, verdict: Differs, seen: `1 of "the cursor of the page itself"`, unsafe: all},
		"rows: once":    {check: repeatedRows, verdict: NotSeen, seen: "0"},
		"rows: twice":   {check: repeatedRows, fault: sim.Fault{Operation: "listSources", Kind: sim.FaultRepeatRow}, verdict: AsAssumed, seen: "1"},
		"rows: changed": {check: repeatedRows, fault: sim.Fault{Operation: "listUsers", Ordinal: 1, Kind: sim.FaultContradict}, verdict: AsAssumed, seen: "1"},
	}
}

func limitAnswers() map[string]answer {
	// Each endpoint has a window of its own.
	var mu sync.Mutex
	used := map[string]int{}
	apart := sim.WithAnswers(func(a *sim.Answer) {
		const most = 1000
		mu.Lock()
		defer mu.Unlock()
		used[a.Operation]++
		a.Header.Set(headerConsumed, strconv.Itoa(used[a.Operation]))
		a.Header.Set(headerRemaining, strconv.Itoa(most-used[a.Operation]))
		a.Header.Set(headerReset, "30")
	})
	without := func(header string) sim.Option {
		return sim.WithAnswers(func(a *sim.Answer) {
			if a.Operation == "listRoles" {
				a.Header.Del(header)
			}
		})
	}
	return map[string]answer{
		"limit: together":        {check: limitHeaders, opts: opts(sim.WithLimit(600)), verdict: AsAssumed, seen: "a window of 600 requests; from one endpoint to another, the remaining number fell 34 times, and did not 0 times"},
		"limit: apart":           {check: limitHeaders, opts: opts(apart), verdict: Differs, seen: "a window of 1000 requests"},
		"limit: no headers":      {check: limitHeaders, verdict: Differs, seen: "of 78 answers, 0 have X-RateLimit-Consumed, 0 have X-RateLimit-Remaining, 0 have X-RateLimit-Reset"},
		"limit: not everywhere":  {check: limitHeaders, opts: opts(sim.WithLimit(600), without(headerRemaining)), verdict: Differs, seen: "78 have X-RateLimit-Consumed, 77 have X-RateLimit-Remaining, 78 have X-RateLimit-Reset"},
		"limit: no reset":        {check: limitHeaders, opts: opts(sim.WithLimit(600), without(headerReset)), verdict: Differs, seen: "77 have X-RateLimit-Reset"},
		"limit: not all numbers": {check: limitHeaders, opts: opts(sim.WithAnswers(func(a *sim.Answer) { a.Header.Set(headerConsumed, "some") })), verdict: Differs, seen: "78 have X-RateLimit-Consumed, 0 have X-RateLimit-Remaining"},
	}
}

func resetAnswers() map[string]answer {
	all := map[string]answer{"reset: absent": {check: resetHeader, verdict: NotSeen, seen: "none"}}
	at := time.Date(2031, 1, 4, 15, 4, 5, 0, time.UTC)
	for name, tt := range map[string]struct {
		value, seen string
		verdict     Verdict
	}{
		"RFC 5322":       {at.Format(time.RFC1123Z), `78 of "a date of RFC 5322"`, AsAssumed},
		"a short day":    {"4 Jan 2031 15:04:05 GMT", `"a date of RFC 5322"`, AsAssumed},
		"HTTP":           {at.Format("Monday, 02-Jan-06 15:04:05 GMT"), `"a date of HTTP"`, AsAssumed},
		"RFC 3339":       {"2031-01-04T15:04:05.123Z", `"a date of RFC 3339"`, AsAssumed},
		"JavaScript":     {"Sat Jan 04 2031 15:04:05 GMT+0000 (Coordinated Universal Time)", `"a date of JavaScript"`, AsAssumed},
		"seconds":        {"30", `"a number of 2 digits"`, AsAssumed},
		"since 1970":     {"1925305445", `"a number of 10 digits"`, AsAssumed},
		"milliseconds":   {"1925305445000", `"a number of 13 digits"`, AsAssumed},
		"a duration":     {"30s", `"another form: 99a"`, Differs},
		"negative":       {"-1", `"another form: -9"`, Differs},
		"a fraction":     {"1.647", `"another form: 9.999"`, Differs},
		"a local format": {"04/01/2031 15:04", `"another form: 99/99/9999 99:99"`, Differs},
	} {
		all["reset: "+name] = answer{
			check: resetHeader, opts: opts(sim.WithAnswers(func(a *sim.Answer) { a.Header.Set(headerReset, tt.value) })), verdict: tt.verdict, seen: tt.seen,
		}
	}
	return all
}

func scopeAnswers() map[string]answer {
	source := func(role string) func(*sim.Workspace) {
		return func(ws *sim.Workspace) { grant(ws, 9, role, on("SOURCE", ws.Sources[0].ID)) }
	}
	minimal := "Minimal Workspace Access"
	return map[string]answer{
		"warehouses: all":  {check: warehouseScopes, verdict: AsAssumed, seen: "0 on single warehouses, 5 on all"},
		"warehouses: none": {check: warehouseScopes, edit: onlyMinimal, verdict: NotSeen},
		"warehouses: single": {check: warehouseScopes, edit: func(ws *sim.Workspace) {
			grant(ws, 9, "Warehouse Destination Admin", on("WAREHOUSE", ws.Warehouses[0].ID))
		}, verdict: Differs, seen: "1 on single warehouses"},

		"roles: by name":     {check: roleScopes, verdict: AsAssumed, seen: "of 20 held on single resources, on another type than the name says: none"},
		"roles: none":        {check: roleScopes, edit: onlyMinimal, verdict: NotSeen},
		"roles: not by name": {check: roleScopes, edit: source("Tracking Plan Admin"), verdict: Differs, seen: `1 of "Tracking Plan Admin on a source"`},
		"roles: another name": {check: roleScopes, verdict: Differs, seen: `1 of "a role of another name on a source"`, edit: func(ws *sim.Workspace) {
			ws.Roles = append(ws.Roles, sim.Role{ID: "custom", Name: "Ann's role"})
			source("Ann's role")(ws)
		}},

		"roles: once":  {check: repeatedRoles, verdict: NotSeen, seen: "0 repeat a role and 0 mix types"},
		"roles: twice": {check: repeatedRoles, edit: func(ws *sim.Workspace) { grant(ws, 9, minimal, on("WORKSPACE", ws.ID)) }, verdict: AsAssumed, seen: "1 repeat a role and 0 mix types"},
		"roles: mixed": {check: repeatedRoles, edit: func(ws *sim.Workspace) {
			grant(ws, 9, "Source Admin", on("WORKSPACE", ws.ID), on("SOURCE", ws.Sources[0].ID))
		}, verdict: AsAssumed, seen: "0 repeat a role and 1 mix types"},

		"dangling: none":     {check: dangling, verdict: NotSeen, seen: "of 20 on single resources: none"},
		"dangling: some":     {check: dangling, edit: func(ws *sim.Workspace) { ws.Sources = ws.Sources[1:] }, verdict: AsAssumed, seen: `of 20 on single resources: 2 of "SOURCE"`},
		"dangling: all":      {check: dangling, edit: func(ws *sim.Workspace) { ws.Sources = nil }, verdict: AsAssumed, seen: `of "SOURCE"`},
		"dangling: unlisted": {check: dangling, opts: opts(failing("listSources", http.StatusServiceUnavailable)), verdict: NotSeen, seen: "of 9 on single resources: none", unsafe: "sync, provision"},
	}
}

func spaceAnswers() map[string]answer {
	const all = "sync, provision"
	listedAs := func(form func(string) string) func(*sim.Workspace) {
		return func(ws *sim.Workspace) {
			for i := range ws.Spaces {
				ws.Spaces[i].ID = form(ws.Spaces[i].ID)
			}
		}
	}
	bare := func(id string) string { return strings.TrimPrefix(id, "spa_") }
	heldAs := func(form func(string) string) func(*sim.Workspace) {
		return func(ws *sim.Workspace) { editHeld(ws, "SPACE", form) }
	}
	both := func(edits ...func(*sim.Workspace)) func(*sim.Workspace) {
		return func(ws *sim.Workspace) {
			for _, edit := range edits {
				edit(ws)
			}
		}
	}
	third := func(ws *sim.Workspace) { grant(ws, 9, "Unify and Engage Admin", on("SPACE", "spa_3Third")) }
	other := func(id string) string { return "space_" + bare(id) }
	return map[string]answer{
		"spaces: prefixed":       {check: spaceIDs, verdict: AsAssumed, seen: `lists: 2 of "spa_ and 22"; permissions: 5 of "spa_ and 22"; 2 of 2 in permissions are listed`},
		"spaces: listed bare":    {check: spaceIDs, edit: listedAs(bare), verdict: AsAssumed, seen: `lists: 2 of "22"; permissions: 5 of "spa_ and 22"; 2 of 2`},
		"spaces: held bare":      {check: spaceIDs, edit: heldAs(bare), verdict: AsAssumed, seen: `lists: 2 of "spa_ and 22"; permissions: 5 of "22"; 2 of 2`},
		"spaces: bare":           {check: spaceIDs, edit: both(listedAs(bare), heldAs(bare)), verdict: AsAssumed, seen: `lists: 2 of "22"; permissions: 5 of "22"; 2 of 2`},
		"spaces: another prefix": {check: spaceIDs, edit: listedAs(other), verdict: Differs, seen: `lists: 2 of "another prefix of 6 and 22"`, unsafe: all},
		"spaces: held otherwise": {check: spaceIDs, edit: heldAs(other), verdict: Differs, seen: `permissions: 5 of "another prefix of 6 and 22"`, unsafe: all},
		"spaces: other ids":      {check: spaceIDs, edit: both(third, listedAs(strings.ToUpper), listedAs(func(id string) string { return strings.TrimPrefix(id, "SPA_") })), verdict: Differs, seen: "0 of 3 in permissions are listed", unsafe: all},
		"spaces: two deleted":    {check: spaceIDs, edit: func(ws *sim.Workspace) { ws.Spaces = nil }, verdict: AsAssumed, seen: "0 of 2 in permissions are listed"},
		"spaces: unlisted":       {check: spaceIDs, edit: third, opts: opts(sim.WithoutFeatures(sim.FeatureSpaces)), verdict: AsAssumed, seen: "lists: none"},
		"spaces: none":           {check: spaceIDs, edit: both(onlyMinimal, func(ws *sim.Workspace) { ws.Spaces = nil }), verdict: NotSeen},
	}
}

// editHeld changes the ids of a type in permissions.
func editHeld(ws *sim.Workspace, scope string, form func(string) string) {
	edit := func(permissions []sim.Permission) {
		for _, p := range permissions {
			for i := range p.Resources {
				if p.Resources[i].Type == scope {
					p.Resources[i].ID = form(p.Resources[i].ID)
				}
			}
		}
	}
	for _, u := range ws.Users {
		edit(u.Permissions)
	}
	for _, g := range ws.Groups {
		edit(g.Permissions)
	}
}

func functionAnswers() map[string]answer {
	const all = "sync, provision"
	heldAs := func(form func(string) string) func(*sim.Workspace) {
		return func(ws *sim.Workspace) { editHeld(ws, "FUNCTION", form) }
	}
	withPrefix := func(prefix string) func(*sim.Workspace) {
		return heldAs(func(id string) string {
			_, rest, _ := strings.Cut(id, "_")
			return prefix + rest
		})
	}
	deleted := func(ids ...string) func(*sim.Workspace) {
		return func(ws *sim.Workspace) {
			for _, id := range ids {
				grant(ws, 9, "Functions Admin", on("FUNCTION", id))
			}
		}
	}
	return map[string]answer{
		"functions: as listed":      {check: functionIDs, verdict: AsAssumed, seen: `permissions: 3 of "dfn_ and 24", 1 of "sfnc_ and 22"; 3 of 3 in permissions are listed`},
		"functions: instances":      {check: functionIDs, edit: withPrefix("sfn_"), verdict: Differs, seen: `permissions: 1 of "sfn_ and 22"`, unsafe: all},
		"functions: bare":           {check: functionIDs, edit: withPrefix(""), verdict: Differs, seen: `permissions: 1 of "22", 3 of "24"`, unsafe: all},
		"functions: another prefix": {check: functionIDs, edit: withPrefix("fun_"), verdict: Differs, seen: `"another prefix of 4 and 22"`, unsafe: all},
		"functions: other ids":      {check: functionIDs, edit: heldAs(strings.ToLower), verdict: AsAssumed, seen: "2 of 3 in permissions are listed"},
		"functions: none listed":    {check: functionIDs, edit: heldAs(func(id string) string { return id + "0" }), verdict: Differs, seen: "0 of 3 in permissions are listed", unsafe: all},
		"functions: deleted":        {check: functionIDs, edit: deleted("ifns_deleted"), verdict: AsAssumed, seen: "3 of 4 in permissions are listed"},
		"functions: none held":      {check: functionIDs, edit: onlyMinimal, verdict: NotSeen},
		"functions: no feature":     {check: functionIDs, opts: opts(sim.WithoutFeatures(sim.FeatureFunctions)), verdict: AsAssumed, seen: "lists: none"},
		// A type of functions may have ids without a prefix.
		"functions: listed bare": {check: functionIDs, verdict: AsAssumed, seen: "4 of 4 in permissions are listed", edit: func(ws *sim.Workspace) {
			ws.Functions = append(ws.Functions, sim.Function{ID: "transformation", ResourceType: "INSERT_TRANSFORMATION"})
			deleted("transformation")(ws)
		}},
	}
}

func inviteAnswers() map[string]answer {
	accept := func(n int) func(*sim.Workspace) {
		return func(ws *sim.Workspace) {
			for i := range n {
				ws.AcceptStillListed(ws.Invites[i].Email, "accepted-"+strconv.Itoa(i))
			}
		}
	}
	fewer := func(n int, edit func(*sim.Workspace)) func(*sim.Workspace) {
		return func(ws *sim.Workspace) {
			ws.Invites = ws.Invites[:n]
			edit(ws)
		}
	}
	inCapitals := func(ws *sim.Workspace) {
		ws.Invites = append(ws.Invites, sim.Invite{Email: strings.ToUpper(ws.Users[0].Email)})
	}
	return map[string]answer{
		"invitees: apart":    {check: invitees, verdict: AsAssumed, seen: "0 of 4 invites have the e-mail of a user"},
		"invitees: some":     {check: invitees, edit: accept(3), verdict: AsAssumed, seen: "3 of 4 invites"},
		"invitees: all":      {check: invitees, edit: accept(4), verdict: Differs, seen: "4 of 4 invites", unsafe: "sync"},
		"invitees: too few":  {check: invitees, edit: fewer(2, accept(2)), verdict: NotSeen, seen: "2 of 2 invites"},
		"invitees: nobody":   {check: invitees, edit: fewer(0, accept(0)), verdict: NotSeen, seen: "0 of 0 invites"},
		"accepted: none":     {check: acceptedInvites, verdict: NotSeen, seen: "0 of 4 invites"},
		"accepted: some":     {check: acceptedInvites, edit: accept(1), verdict: AsAssumed, seen: "1 of 4 invites"},
		"accepted: any case": {check: acceptedInvites, edit: inCapitals, verdict: AsAssumed, seen: "1 of 5 invites"},
	}
}

func detailAnswers() map[string]answer {
	const all = "sync, provision"
	emptied := func(operation, name string) sim.Option {
		return onMember(operation, name, func(detail map[string]any) { detail["permissions"] = []any{} })
	}
	// One membership, of a user who holds the same as the group.
	same := func(ws *sim.Workspace) {
		ws.Groups = ws.Groups[:1]
		ws.Groups[0].Members = ws.Groups[0].Members[:1]
		ws.Users[3].Permissions = ws.Groups[0].Permissions
	}
	one := func(edit func(user map[string]any)) []sim.Option {
		email := sim.Demo().Users[9].Email
		return opts(onMember("getUser", "user", func(user map[string]any) {
			if user["email"] == email {
				edit(user)
			}
		}))
	}
	without := func(user map[string]any) { delete(user, "permissions") }
	return map[string]answer{
		"group roles: apart":     {check: groupPermissions, verdict: AsAssumed, seen: "of 32 memberships in groups with roles, 1 show all of these"},
		"group roles: shown":     {check: groupPermissions, opts: opts(sim.WithNormalizing(sim.NormalizeShowsGroupPermissions)), verdict: Differs, seen: "of 32 memberships in groups with roles, 32 show all", unsafe: all},
		"group roles: too few":   {check: groupPermissions, edit: same, verdict: NotSeen, seen: "of 1 memberships in groups with roles, 1 show all"},
		"group roles: no groups": {check: groupPermissions, edit: func(ws *sim.Workspace) { ws.Groups = nil }, verdict: NotSeen, seen: "of 0 memberships"},
		"group roles: minimal":   {check: groupPermissions, edit: onlyMinimal, verdict: NotSeen, seen: "of 0 memberships"},

		"details: all":          {check: details, verdict: AsAssumed, seen: "of 48 users and groups, 48 were read; 0 of these have no permissions field"},
		"details: none":         {check: details, opts: opts(sim.WithNormalizing(sim.NormalizeOmitsPermissions)), verdict: Differs, seen: "48 of these have no permissions field; nobody is Workspace Owner", unsafe: all},
		"details: empty":        {check: details, opts: opts(emptied("getUser", "user"), emptied("getUserGroup", "userGroup")), verdict: Differs, seen: "0 of these have no permissions field; nobody is Workspace Owner", unsafe: all},
		"details: a group owns": {check: details, opts: opts(emptied("getUser", "user")), verdict: AsAssumed, seen: "0 of these"},
		"details: one without":  {check: details, opts: one(without), verdict: Differs, seen: "1 of these have no permissions field", unsafe: "sync"},
		"details: one null":     {check: details, opts: one(func(user map[string]any) { user["permissions"] = nil }), verdict: Differs, seen: "1 of these have no permissions field", unsafe: "sync"},
		"details: one empty":    {check: details, opts: one(func(user map[string]any) { user["permissions"] = []any{} }), verdict: AsAssumed, seen: "0 of these"},
		"details: no one there": {check: details, edit: func(ws *sim.Workspace) { ws.Users, ws.Groups = nil, nil }, verdict: NotSeen},
		"details: no such role": {check: details, edit: func(ws *sim.Workspace) { ws.Roles = nil }, verdict: AsAssumed, seen: "0 of these"},
		"details: too many": {check: details, verdict: AsAssumed, seen: "of 149 users and groups, 108 were read", opts: opts(emptied("getUser", "user"), emptied("getUserGroup", "userGroup")), edit: func(ws *sim.Workspace) {
			for i := range MaxUsers + 1 {
				ws.Users = append(ws.Users, sim.User{ID: "more-" + strconv.Itoa(i), Email: "more-" + strconv.Itoa(i) + "@example.com"})
			}
		}},
	}
}

func pageAnswers() map[string]answer {
	refusing := func(operation string) sim.Fault {
		return sim.Fault{Operation: operation, Query: "=1000", Kind: sim.FaultStatus, Status: http.StatusUnprocessableEntity, Body: `{"errors":[{"type":"input-validation","field":"pagination.count"}]}`}
	}
	return map[string]answer{
		"pages: 1000":     {check: pageSize, verdict: AsAssumed, seen: "asked of 10 lists; refused by: none"},
		"pages: 200":      {check: pageSize, opts: opts(sim.WithMaxCount(200)), verdict: Differs, seen: "asked of 1 lists; refused by: /users"},
		"pages: one list": {check: pageSize, fault: refusing("listUserGroups"), verdict: Differs, seen: "asked of 3 lists; refused by: /groups"},
		"pages: pending":  {check: pageSize, fault: refusing("listInvitesFromUserGroup"), verdict: Differs, seen: "refused by: /groups/{id}/invites"},
	}
}
