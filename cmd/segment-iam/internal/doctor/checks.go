package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// checks returns all checks of reading.
func checks() []func(*workspace) Check {
	return []func(*workspace) Check{
		checkFields, checkPermissionsInLists, checkBadToken, checkMemberToken, checkPlan, checkMemberCount, checkSpaceIDs, checkWarehouseScopes,
		checkRoleScopes, checkRepeatedRoles, checkCounts, checkRepeatedRows, checkNext, checkLimits, checkReset, checkDangling, checkFunctionIDs,
		checkInvitees, checkGroupPermissions, checkAcceptedInvites, checkDetails, checkPageSize, checkFailures,
	}
}

// decide sets the verdict: not seen without cases, else as assumed or not.
func (c Check) decide(cases int, holds bool) Check {
	switch {
	case cases == 0:
		c.Verdict = NotSeen
	case holds:
		c.Verdict = AsAssumed
	default:
		c.Verdict = Differs
	}
	return c
}

// sorted lists counted texts: "3 of a, 1 of b".
func sorted(counts map[string]int) string {
	var texts []string
	for _, text := range slices.Sorted(maps.Keys(counts)) {
		texts = append(texts, fmt.Sprintf("%d of %q", counts[text], text))
	}
	if len(texts) == 0 {
		return "none"
	}
	return strings.Join(texts, ", ")
}

func checkFields(w *workspace) Check {
	unknown := slices.Sorted(maps.Keys(w.fields))
	c := Check{
		Name: "fields and types of answers", Assumed: "those of API 57.3.0", Seen: "no others",
		Means: "baton-segment does not read other fields. If one of them is about access, please report it.",
	}
	if len(unknown) > 0 {
		c.Seen = strings.Join(unknown, "; ")
	}
	if slices.ContainsFunc(unknown, func(field string) bool { return strings.Contains(field, ".permissions[]") }) {
		c.provision = true
		c.Means += " baton-segment refuses to replace permissions with unknown fields, because these would be lost."
	}
	return c.decide(1, len(unknown) == 0)
}

func checkPermissionsInLists(w *workspace) Check {
	details := make([]segmentapi.Group, 0, len(w.groups))
	for _, g := range w.groups {
		details = append(details, g.Group)
	}
	users := compareLists(w.users, w.details, func(u segmentapi.User) (string, []segmentapi.Permission) { return u.ID, u.Permissions })
	groups := compareLists(w.listedGroups, details, func(g segmentapi.Group) (string, []segmentapi.Permission) { return g.ID, g.Permissions })
	c := Check{
		Question: 1, Name: "permissions in the lists of users and groups", Assumed: "none: each user and group takes a request of its own",
		Seen:  fmt.Sprintf("%d of %d users and %d of %d groups have some", users.with, len(w.users), groups.with, len(w.listedGroups)),
		Means: "A sync takes them from the lists, and makes fewer requests.",
	}
	if fewer := users.fewer + groups.fewer; fewer > 0 {
		c.Seen += fmt.Sprintf("; %d of them have fewer than in the detail", fewer)
		c.Means, c.sync, c.provision = "A sync takes them from the lists, and misses those that only details have. Please report it.", true, true
	}
	return c.decide(len(w.users)+len(w.listedGroups), users.with+groups.with == 0)
}

// listCounts counts rows of a list with permissions, and those of them whose detail has more.
type listCounts struct{ with, fewer int }

func compareLists[T any](rows, details []T, of func(T) (string, []segmentapi.Permission)) listCounts {
	var counts listCounts
	inList := map[string][]segmentapi.Assignment{}
	for _, row := range rows {
		if id, permissions := of(row); len(permissions) > 0 {
			counts.with++
			inList[id] = segmentapi.Assignments(permissions)
		}
	}
	for _, detail := range details {
		id, permissions := of(detail)
		if shown, there := inList[id]; there && len(segmentapi.Compare(segmentapi.Assignments(permissions), shown).Removed) > 0 {
			counts.fewer++
		}
	}
	return counts
}

func checkBadToken(w *workspace) Check {
	cases := 0
	if isAnswer(w.badToken) {
		cases = 1
	}
	return Check{
		Question: 6, Name: "the answer to a token that does not exist", Assumed: "401 or 403", Seen: statusText(w.badToken),
		Means: "If a token has been revoked, the error does not say so.",
	}.decide(cases, isRefusal(w.badToken))
}

// isAnswer reports whether a status says anything about the request. It does not if the
// server failed or the rate limit was reached.
func isAnswer(status int) bool {
	return status != 0 && status != http.StatusTooManyRequests && status < http.StatusInternalServerError
}

func isRefusal(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

func statusText(status int) string {
	if status == 0 {
		return "no answer"
	}
	return strconv.Itoa(status)
}

// failureText names a failure without quoting anything.
func failureText(err error) string {
	switch status := statusIn(err); {
	case errors.Is(err, segmentapi.ErrRateLimited):
		return statusText(http.StatusTooManyRequests)
	case errors.Is(err, segmentapi.ErrBadResponse):
		return "an answer that cannot be used"
	default:
		return statusText(status)
	}
}

func checkMemberToken(w *workspace) Check {
	c := Check{
		Question: 6, Name: "the answer to a token with less than Workspace Owner", Assumed: "401, 403, or a user without the field permissions", Seen: "not asked: give --member-token",
		Means: "Such a token cannot be told from that of a Workspace Owner. Do not sync with one.",
	}
	m := w.member
	switch {
	case m == nil:
		return c.decide(0, false)
	case m.all == 0:
		c.Seen = "nobody to ask about"
		return c.decide(0, false)
	case m.err != nil:
		c.Seen = failureText(m.err)
		if !isAnswer(statusIn(m.err)) {
			return c.decide(0, false)
		}
		c.Means = "A sync with such a token fails with an error that does not say why."
	case !m.hasPermissions:
		c.Seen = "a user without the field permissions"
	default:
		c.Seen = fmt.Sprintf("a user with %d of %d roles", m.shown, m.all)
		c.sync = m.shown < m.all
		if c.sync {
			c.Means = "A sync with such a token misses access, and does not always fail. Make sure that the token you use is of a Workspace Owner."
		}
	}
	return c.decide(1, isRefusal(statusIn(m.err)) || m.err == nil && !m.hasPermissions)
}

// optionalLists are those of types that a plan may lack.
var optionalLists = []string{"groups", "functions", "spaces", "warehouses", "labels"} //nolint:gochecknoglobals // Constant.

// refusedLists returns the optional lists that were refused: those whose refusal
// baton-segment takes for a plan that lacks them, and the others.
func (w *workspace) refusedLists() ([]string, []string) {
	var lacking, unclear []string
	for _, name := range slices.Sorted(slices.Values(optionalLists)) {
		switch err := w.failed[name]; {
		case segmentapi.LacksFeature(err):
			lacking = append(lacking, name)
		case isAnswer(statusIn(err)) && statusIn(err) >= http.StatusBadRequest:
			unclear = append(unclear, name)
		}
	}
	return lacking, unclear
}

// failures lists operations with their failures.
func (w *workspace) failures(names []string) string {
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = name + ": " + failureText(w.failed[name])
	}
	return strings.Join(texts, ", ")
}

func checkPlan(w *workspace) Check {
	lacking, unclear := w.refusedLists()
	return Check{
		Question: 7, Name: "the answer if the plan lacks a type", Assumed: "404 or 400, with an error in Segment's form that names no field",
		Seen:  cmp.Or(w.failures(slices.Concat(lacking, unclear)), "nothing is lacking"),
		Means: "A sync fails instead of leaving the type out. If the plan lacks it, list the other types in --sync-resource-types.", sync: true,
	}.decide(len(lacking)+len(unclear), len(unclear) == 0)
}

func checkMemberCount(w *workspace) Check {
	users, both, cases := 0, 0, 0
	for _, g := range w.groups {
		if g.pending == 0 {
			continue
		}
		cases++
		switch g.MemberCount {
		case len(g.users):
			users++
		case len(g.users) + g.pending:
			both++
		}
	}
	return Check{
		Question: 13, Name: "the member count of groups with pending invites", Assumed: "either users, or users and invites",
		Seen: fmt.Sprintf("of %d such groups, %d count users, and %d count users and invites", cases, users, both), Means: "Nothing: baton-segment counts members itself.",
	}.decide(cases, true)
}

// enough is how many cases are too many to be a coincidence.
const enough = 3

func checkSpaceIDs(w *workspace) Check {
	inLists, inPermissions := w.ids["list of spaces"], w.ids["permissions on SPACE"]
	known := func(shape string) bool { return prefixOf(shape) == "" || prefixOf(shape) == "spa_" }
	m := w.matched(segmentapi.ScopeSpace)
	return Check{
		Question: 14, Name: "the form of ids of spaces", Assumed: "with or without spa_, in lists and in permissions", Seen: m.text(inLists, inPermissions),
		Means: "Roles on spaces appear on spaces that Segment seems not to list. Please report it.", sync: true, provision: true,
	}.decide(len(inLists)+len(inPermissions), allShapes(inLists, known) && allShapes(inPermissions, known) && !m.noneListed())
}

func allShapes(counts map[string]int, known func(string) bool) bool {
	for shape := range counts {
		if !known(shape) {
			return false
		}
	}
	return true
}

// listNames are the names of the lists of what permissions are on.
var listNames = map[segmentapi.ScopeType]string{ //nolint:gochecknoglobals // Constant.
	segmentapi.ScopeSource: "sources", segmentapi.ScopeWarehouse: "warehouses", segmentapi.ScopeFunction: "functions", segmentapi.ScopeSpace: "spaces",
}

// A match counts the ids of one type in permissions, each once, and those that the list has.
type match struct{ held, listed int }

// matched compares the ids in permissions with the list. If the list could not be read, it
// counts nothing.
func (w *workspace) matched(scope segmentapi.ScopeType) match {
	name, known := listNames[scope]
	if !known || w.failed[name] != nil {
		return match{}
	}
	held := map[string]bool{}
	w.held(func(_ segmentapi.Permission, s segmentapi.Scope) {
		if s.Type == scope {
			held[s.ID] = true
		}
	})
	m := match{held: len(held)}
	for id := range held {
		if w.isListed(scope, id) {
			m.listed++
		}
	}
	return m
}

// isListed reports whether a list has an id, in any form.
func (w *workspace) isListed(scope segmentapi.ScopeType, id string) bool {
	forms := []string{id}
	if scope == segmentapi.ScopeSpace {
		forms = access.IDForms(access.TypeSpace, id)
	}
	return slices.ContainsFunc(forms, func(form string) bool { return w.listed[scope][form] })
}

// noneListed reports whether so many ids are in no list that their forms must differ.
func (m match) noneListed() bool { return m.listed == 0 && m.held >= enough }

func (m match) text(inLists, inPermissions map[string]int) string {
	return fmt.Sprintf("lists: %s; permissions: %s; %d of %d in permissions are listed", sorted(inLists), sorted(inPermissions), m.listed, m.held)
}

// held calls f for each scope that a user or group holds itself.
func (w *workspace) held(f func(segmentapi.Permission, segmentapi.Scope)) {
	for _, permissions := range w.allPermissions() {
		for _, p := range permissions {
			for _, s := range p.Scopes {
				f(p, s)
			}
		}
	}
}

// allPermissions returns the permissions of each user and group.
func (w *workspace) allPermissions() [][]segmentapi.Permission {
	var all [][]segmentapi.Permission
	for _, u := range w.details {
		all = append(all, u.Permissions)
	}
	for _, g := range w.groups {
		all = append(all, g.Permissions)
	}
	return all
}

func checkWarehouseScopes(w *workspace) Check {
	single, all := 0, 0
	w.held(func(p segmentapi.Permission, s segmentapi.Scope) {
		switch {
		case s.Type == segmentapi.ScopeWarehouse:
			single++
		case s.Type == segmentapi.ScopeWorkspace && access.Applies(p.RoleName, access.TypeWarehouse):
			all++
		}
	})
	return Check{
		Question: 15, Name: "roles held on a single warehouse", Assumed: "none: roles on warehouses are for all of them",
		Seen:  fmt.Sprintf("%d on single warehouses, %d on all", single, all),
		Means: "A sync shows them. baton-segment cannot grant or revoke them.",
	}.decide(single+all, single == 0)
}

// checkRoleScopes compares the types that roles are held on with those that their names
// mean.
func checkRoleScopes(w *workspace) Check {
	wrong, cases := map[string]int{}, 0
	w.held(func(p segmentapi.Permission, s segmentapi.Scope) {
		for _, t := range [...]string{access.TypeSource, access.TypeFunction, access.TypeSpace, access.TypeWarehouse} {
			if scope, _ := access.ScopeOf(t); scope != s.Type {
				continue
			}
			cases++
			if !access.Applies(p.RoleName, t) {
				wrong[roleText(p.RoleName)+" on a "+t]++
			}
		}
	})
	return Check{
		Question: 16, Name: "roles and the types that they are held on", Assumed: "the first word of a role's name is the type",
		Seen:  fmt.Sprintf("of %d held on single resources, on another type than the name says: %s", cases, sorted(wrong)),
		Means: "A sync shows them. Held on the whole workspace or on labels, these roles may reach more than segment-iam says. Please report it.",
	}.decide(cases, len(wrong) == 0)
}

// documentedRoles are the names that Segment documents.
var documentedRoles = []string{ //nolint:gochecknoglobals // Constant.
	segmentapi.RoleWorkspaceOwner, segmentapi.RoleMinimalWorkspaceAccess, segmentapi.RolePIIAccess,
	segmentapi.RoleSourceAdmin, segmentapi.RoleSourceReadOnly,
	"Function Admin", segmentapi.RoleFunctionsAdmin, "Function Read-only", segmentapi.RoleFunctionsReadOnly,
	segmentapi.RoleWarehouseDestinationAdmin, segmentapi.RoleWarehouseDestinationReadOnly,
	segmentapi.RoleUnifyAndEngageAdmin, segmentapi.RoleUnifyAndEngageReadOnly, segmentapi.RoleUnifyReadOnlyEngageUser, segmentapi.RoleIdentityAdmin,
	segmentapi.RoleTrackingPlanAdmin, segmentapi.RoleTrackingPlanReadOnly, segmentapi.RoleEndUserPrivacyAdmin,
	segmentapi.RoleEntitiesAdmin, segmentapi.RoleEntitiesReadOnly,
}

func roleText(name string) string {
	if slices.Contains(documentedRoles, strings.TrimSpace(name)) {
		return strings.TrimSpace(name)
	}
	return "a role of another name"
}

func checkRepeatedRoles(w *workspace) Check {
	twice, mixed, cases := 0, 0, 0
	for _, permissions := range w.allPermissions() {
		roles := map[string]bool{}
		for _, p := range permissions {
			cases++
			if roles[p.RoleID] {
				twice++
			}
			roles[p.RoleID] = true
			types := map[segmentapi.ScopeType]bool{}
			for _, s := range p.Scopes {
				types[s.Type] = true
			}
			if len(types) > 1 {
				mixed++
			}
		}
	}
	return Check{
		Question: 17, Name: "one role in two permissions, and several types in one", Assumed: "both may happen",
		Seen:  fmt.Sprintf("of %d permissions, %d repeat a role and %d mix types", cases, twice, mixed),
		Means: "Nothing: both are read, and kept when something else is changed.",
	}.decide(twice+mixed, true)
}

func checkCounts(w *workspace) Check {
	most, entries := 0, 0
	for _, permissions := range w.allPermissions() {
		entries = max(entries, len(permissions))
		for _, p := range permissions {
			most = max(most, len(p.Scopes))
		}
	}
	cases := 0
	if isAnswer(w.tooMany) && !isRefusal(w.tooMany) {
		cases = 1
	}
	return Check{
		Question: 18, Name: "limits of counts", Assumed: "a page of 1001 rows is refused",
		Seen:  fmt.Sprintf("1001 rows: %s; one user or group has up to %d permissions, and one permission up to %d resources", statusText(w.tooMany), entries, most),
		Means: "Nothing: baton-segment asks for 1000 rows at most.",
	}.decide(cases, w.tooMany >= http.StatusBadRequest)
}

func checkRepeatedRows(w *workspace) Check {
	return Check{
		Question: 19, Name: "rows that a list repeats", Assumed: "may happen while the workspace changes",
		Seen: strconv.Itoa(w.repeated), Means: "Nothing: a repeated row counts once.",
	}.decide(w.repeated, true)
}

func checkNext(w *workspace) Check {
	return Check{
		Question: 20, Name: "the cursor on the last page of a list", Assumed: "absent, null or empty", Seen: sorted(w.next),
		Means: "A sync fails, because baton-segment cannot tell where a list ends.", sync: true, provision: true,
	}.decide(len(w.next), w.next[nextOtherType]+w.next[nextItself] == 0)
}

func checkLimits(w *workspace) Check {
	together, apart := 0, 0
	var sizes []int
	for i, now := range w.limits {
		sizes = append(sizes, now.used+now.remaining)
		switch {
		case i == 0 || w.limits[i-1].endpoint == now.endpoint:
		case now.remaining < w.limits[i-1].remaining:
			together++
		default:
			apart++
		}
	}
	complete := true
	counts := make([]string, 0, len(w.headers))
	for _, name := range []string{headerConsumed, headerRemaining, headerReset} {
		counts = append(counts, fmt.Sprintf("%d have %s", w.headers[name], name))
		complete = complete && w.headers[name] == w.successes
	}
	c := Check{
		Question: 21, Name: "headers about the rate limit", Assumed: "all answers have them, and all reads count together",
		Seen:  fmt.Sprintf("of %d answers, %s", w.successes, strings.Join(counts, ", ")),
		Means: "baton-segment learns of the limit only from answers with 429. Others who use the token may get them as well.",
	}
	if len(sizes) > 0 {
		c.Seen += fmt.Sprintf("; %s; from one endpoint to another, the remaining number fell %d times, and did not %d times", windowText(sizes), together, apart)
	}
	const few = 4 // A window that ends meanwhile looks like another one.
	pooled := apart*few <= together
	if complete && !pooled {
		c.Means = "Endpoints seem to have limits of their own, so a sync may wait longer than it has to."
	}
	return c.decide(w.successes, complete && pooled)
}

// windowText names the sizes of windows, of which there is at least one.
func windowText(sizes []int) string {
	least, most := slices.Min(sizes), slices.Max(sizes)
	if least == most {
		return fmt.Sprintf("a window of %d requests", most)
	}
	return fmt.Sprintf("windows of %d to %d requests", least, most)
}

func checkReset(w *workspace) Check {
	cases := 0
	for _, n := range w.resets {
		cases += n
	}
	return Check{
		Question: 22, Name: "the header X-RateLimit-Reset", Assumed: "a number, or a date in a known form", Seen: sorted(w.resets),
		Means: "baton-segment cannot use the headers about the limit. It learns of the limit only from answers with 429.",
	}.decide(cases, allShapes(w.resets, func(form string) bool { return !strings.HasPrefix(form, otherForm) }))
}

func checkDangling(w *workspace) Check {
	dangling, cases, n := map[string]int{}, 0, 0
	w.held(func(_ segmentapi.Permission, s segmentapi.Scope) {
		name, known := listNames[s.Type]
		if !known || w.failed[name] != nil {
			return
		}
		cases++
		if !w.isListed(s.Type, s.ID) {
			dangling[string(s.Type)]++
			n++
		}
	})
	return Check{
		Question: 25, Name: "permissions on resources that are in no list", Assumed: "possible", Seen: fmt.Sprintf("of %d on single resources: %s", cases, sorted(dangling)),
		Means: "A sync shows them with listed: false. They may be left over from deleted resources.",
	}.decide(n, true)
}

func checkFunctionIDs(w *workspace) Check {
	inLists, inPermissions := w.ids["list of functions"], w.ids["permissions on FUNCTION"]
	prefixes := slices.Clone(functionPrefixes)
	for shape := range inLists {
		prefixes = append(prefixes, prefixOf(shape))
	}
	m := w.matched(segmentapi.ScopeFunction)
	return Check{
		Question: 26, Name: "the form of ids of functions in permissions", Assumed: "that of the lists", Seen: m.text(inLists, inPermissions),
		Means: "Roles on functions appear on functions that Segment seems not to list. Please report it.", sync: true, provision: true,
	}.decide(len(inPermissions), allShapes(inPermissions, func(shape string) bool { return slices.Contains(prefixes, prefixOf(shape)) }) && !m.noneListed())
}

// inBoth counts the invites whose e-mail a user has.
func (w *workspace) inBoth() int {
	users := map[string]bool{}
	for _, u := range w.users {
		users[segmentapi.FoldEmail(u.Email)] = true
	}
	n := 0
	for _, email := range w.invites {
		if users[segmentapi.FoldEmail(email)] {
			n++
		}
	}
	return n
}

func checkInvitees(w *workspace) Check {
	n, cases := w.inBoth(), len(w.invites)
	if n == cases && cases < enough {
		cases = 0 // These few may have been accepted just now.
	}
	return Check{
		Question: 27, Name: "invited people among the users", Assumed: "no: invites have a list of their own",
		Seen:  fmt.Sprintf("%d of %d invites have the e-mail of a user", n, len(w.invites)),
		Means: "People who have not accepted yet are shown as users. Do not count them as members.", sync: true,
	}.decide(cases, n < len(w.invites))
}

func checkAcceptedInvites(w *workspace) Check {
	n := w.inBoth()
	return Check{
		Question: 31, Name: "accepted invites that are still listed", Assumed: "possible for a while",
		Seen:  fmt.Sprintf("%d of %d invites have the e-mail of a user", n, len(w.invites)),
		Means: "Nothing: a person who has joined is shown as a user only.",
	}.decide(n, true)
}

// checkGroupPermissions looks for members whose details show what their groups give. A
// member may hold the same as a group, so all members must agree.
func checkGroupPermissions(w *workspace) Check {
	details := map[string][]segmentapi.Assignment{}
	for _, u := range w.details {
		details[u.ID] = segmentapi.Assignments(u.Permissions)
	}
	shown, cases := 0, 0
	for _, g := range w.groups {
		given := slices.DeleteFunc(segmentapi.Assignments(g.Permissions), func(a segmentapi.Assignment) bool { return a.RoleName == segmentapi.RoleMinimalWorkspaceAccess })
		if len(given) == 0 {
			continue
		}
		for _, id := range g.users {
			own, read := details[id]
			if !read {
				continue
			}
			cases++
			if len(segmentapi.Compare(given, own).Removed) == 0 {
				shown++
			}
		}
	}
	c := Check{
		Question: 30, Name: "roles of groups in the details of users", Assumed: "not there",
		Seen:  fmt.Sprintf("of %d memberships in groups with roles, %d show all of these", cases, shown),
		Means: "A role that comes through a group looks as if the user held it directly. Do not grant or revoke roles of users.", sync: true, provision: true,
	}
	if shown == cases && cases < enough {
		cases = 0 // These few may hold the same themselves.
	}
	return c.decide(cases, shown < cases)
}

func checkDetails(w *workspace) Check {
	without := w.detailCounts[detailKind{"user", false}] + w.detailCounts[detailKind{"userGroup", false}]
	with := w.detailCounts[detailKind{"user", true}] + w.detailCounts[detailKind{"userGroup", true}]
	c := Check{
		Question: 34, Name: "permissions in the details of users and groups", Assumed: "always there, and somebody is Workspace Owner",
		Seen: fmt.Sprintf("of %d users and groups, %d were read; %d of these have no permissions field", len(w.users)+len(w.listedGroups), with+without, without),
	}
	ownerless := w.isComplete() && !w.hasOwner()
	switch {
	case with == 0 || ownerless:
		c.Means, c.sync, c.provision = "The token does not see permissions, and a sync fails: use a token of a Workspace Owner.", true, true
	default:
		c.Means, c.sync = "Users and groups without this field count as holding nothing. If Segment's app shows roles for them, use a token of a Workspace Owner.", true
	}
	if ownerless {
		c.Seen += "; nobody is Workspace Owner"
	}
	return c.decide(with+without, without == 0 && !ownerless)
}

// isComplete reports whether all users and groups were read, so that the owners are among
// them.
func (w *workspace) isComplete() bool {
	for _, name := range []string{"users", "user", "group", "roles"} {
		if w.failed[name] != nil {
			return false
		}
	}
	groupsRead := w.failed["groups"] == nil || segmentapi.LacksFeature(w.failed["groups"])
	return groupsRead && w.gone == 0 && len(w.details) == len(w.users) && len(w.groups) == len(w.listedGroups)
}

// hasOwner reports whether anybody, or any group, holds the role Workspace Owner. If the
// workspace does not list such a role, its owners cannot be recognized.
func (w *workspace) hasOwner() bool {
	found := !slices.ContainsFunc(w.roles, func(r segmentapi.Role) bool { return r.Name == segmentapi.RoleWorkspaceOwner })
	w.held(func(p segmentapi.Permission, s segmentapi.Scope) {
		found = found || p.RoleName == segmentapi.RoleWorkspaceOwner && s.Type == segmentapi.ScopeWorkspace && len(s.Labels) == 0
	})
	return found
}

func checkPageSize(w *workspace) Check {
	refused, cases := []string{}, 0
	for _, endpoint := range slices.Sorted(maps.Keys(w.statuses)) {
		byStatus := w.statuses[endpoint][segmentapi.MaxPageSize]
		if len(byStatus) == 0 {
			continue
		}
		cases++
		if byStatus[http.StatusBadRequest]+byStatus[http.StatusUnprocessableEntity] > 0 && w.statuses[endpoint][olderPageSize][http.StatusOK] > 0 {
			refused = append(refused, endpoint)
		}
	}
	return Check{
		Question: 35, Name: "pages of 1000 rows", Assumed: "every list takes them", Seen: fmt.Sprintf("asked of %d lists; refused by: %s", cases, cmp.Or(strings.Join(refused, ", "), "none")),
		Means: "A sync asks for 200 rows instead. Set --page-size 200, which saves the refused requests.",
	}.decide(cases, len(refused) == 0)
}

// olderPageSize is the most that older documents of Segment allow.
const olderPageSize = 200

// checkFailures is about failures that no other check explains.
func checkFailures(w *workspace) Check {
	lacking, unclear := w.refusedLists()
	failed := slices.DeleteFunc(slices.Sorted(maps.Keys(w.failed)), func(name string) bool {
		return slices.Contains(lacking, name) || slices.Contains(unclear, name)
	})
	seen := cmp.Or(w.failures(failed), "none")
	tooMany := access.TooManyGone(w.gone, w.asked)
	if w.gone > 0 {
		seen += fmt.Sprintf("; %d of %d users and groups were listed and then not found", w.gone, w.asked)
	}
	means := "A sync fails as well. Try again later, and report it if it stays."
	if slices.ContainsFunc(failed, func(name string) bool { return isRefusal(statusIn(w.failed[name])) }) {
		means = "A sync fails as well. Use a token of a Workspace Owner."
	}
	return Check{Name: "requests that failed", Assumed: "none", Seen: seen, Means: means, sync: true, provision: true}.decide(1, len(failed) == 0 && !tooMany)
}
