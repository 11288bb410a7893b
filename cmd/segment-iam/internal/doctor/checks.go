package doctor

import (
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
	return Check{
		Name: "unknown fields and types", Assumed: "answers have the fields and types of API 57.3.0",
		Seen: firstOf(strings.Join(unknown, "; "), "none"), Means: "baton-segment ignores unknown fields. If one is about access, please report it.",
	}.decide(1, len(unknown) == 0)
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

func checkPermissionsInLists(w *workspace) Check {
	with := w.rows[rowKind{"users", true}] + w.rows[rowKind{"userGroups", true}]
	users, groups := w.rows[rowKind{"users", false}]+w.rows[rowKind{"users", true}], w.rows[rowKind{"userGroups", false}]+w.rows[rowKind{"userGroups", true}]
	return Check{
		Question: 1, Name: "permissions in the lists of users and groups", Assumed: "none: a request for each user and group",
		Seen:  fmt.Sprintf("%d of %d users and %d of %d groups have them", w.rows[rowKind{"users", true}], users, w.rows[rowKind{"userGroups", true}], groups),
		Means: "A sync uses them and asks for the others only.",
	}.decide(users+groups, with == 0)
}

func checkBadToken(w *workspace) Check {
	return Check{
		Question: 6, Name: "the answer to a token that does not exist", Assumed: "401 or 403", Seen: statusText(w.badToken),
		Means: "A revoked token is not recognized as such, so the error does not say how to mend it.",
	}.decide(w.badToken, isRefusal(w.badToken))
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

func checkMemberToken(w *workspace) Check {
	c := Check{
		Question: 6, Name: "the answer to a token with less than Workspace Owner", Assumed: "401 or 403, or a user without permissions", Seen: "not asked: give --member-token",
		Means: "A token that sees only a part may look like one that sees all: use one with the role Workspace Owner.", sync: true,
	}
	if !w.memberAsked {
		return c.decide(0, false)
	}
	c.Seen = statusText(w.member)
	if w.memberShowsPermissions {
		c.Seen = "a user with permissions"
	}
	return c.decide(1, isRefusal(w.member))
}

func checkPlan(w *workspace) Check {
	lacking, unclear := []string{}, []string{}
	for _, name := range slices.Sorted(maps.Keys(w.failed)) {
		text := fmt.Sprintf("%s: %s", name, statusText(statusIn(w.failed[name])))
		if segmentapi.LacksFeature(w.failed[name]) {
			lacking = append(lacking, text)
		} else if slices.Contains([]string{"groups", "functions", "spaces", "warehouses", "labels"}, name) && statusIn(w.failed[name])/100 == 4 {
			unclear = append(unclear, text)
		}
	}
	return Check{
		Question: 7, Name: "the answer to what the plan lacks", Assumed: "400, 403 or 404 with an error of Segment's",
		Seen: firstOf(strings.Join(slices.Concat(lacking, unclear), ", "), "nothing is lacking"), Means: "A sync fails instead of leaving the type out.", sync: true,
	}.decide(len(lacking)+len(unclear), len(unclear) == 0)
}

func checkMemberCount(w *workspace) Check {
	users, both, cases := 0, 0, 0
	for _, g := range w.groups {
		if g.pending == 0 {
			continue
		}
		cases++
		if g.MemberCount == len(g.users) {
			users++
		}
		if g.MemberCount == len(g.users)+g.pending {
			both++
		}
	}
	return Check{
		Question: 13, Name: "the member count of groups with pending invites", Assumed: "not relied on",
		Seen: fmt.Sprintf("of %d such groups, it counts users in %d, and users and invites in %d", cases, users, both), Means: "Nothing: baton-segment counts members itself.",
	}.decide(cases, true)
}

func checkSpaceIDs(w *workspace) Check {
	listed, held := w.ids["list of spaces"], w.ids["permissions on SPACE"]
	return Check{
		Question: 14, Name: "the form of ids of spaces", Assumed: "with or without spa_, in lists and in permissions",
		Seen: "lists: " + sorted(listed) + "; permissions: " + sorted(held), Means: "Roles on spaces may be shown for spaces that Segment seems not to list.", sync: true, provision: true,
	}.decide(len(listed)+len(held), knownShapes("spa_", listed, held))
}

func knownShapes(prefix string, all ...map[string]int) bool {
	for _, shapes := range all {
		for shape := range shapes {
			if _, err := strconv.Atoi(strings.TrimPrefix(shape, prefix+" and ")); err != nil {
				return false
			}
		}
	}
	return true
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
	n := 0
	w.held(func(_ segmentapi.Permission, s segmentapi.Scope) {
		if s.Type == segmentapi.ScopeWarehouse {
			n++
		}
	})
	return Check{
		Question: 15, Name: "roles held on a single warehouse", Assumed: "none: roles on warehouses are for all of them",
		Seen: strconv.Itoa(n), Means: "A sync shows them. baton-segment does not offer to grant them on others.",
	}.decide(n, false)
}

// checkRoleScopes compares what roles are held on with what their names say. Names of roles
// are Segment's own if they are among those that it documents.
func checkRoleScopes(w *workspace) Check {
	wrong, cases := map[string]int{}, 0
	w.held(func(p segmentapi.Permission, s segmentapi.Scope) {
		for _, t := range [...]string{access.TypeSource, access.TypeFunction, access.TypeSpace, access.TypeWarehouse} {
			if scope, _ := access.ScopeOf(t); scope != s.Type {
				continue
			}
			cases++
			if !access.Applies(p.RoleName, t) {
				wrong[roleText(p.RoleName)+" on "+t]++
			}
		}
	})
	return Check{
		Question: 16, Name: "roles and the types that they are held on", Assumed: "the first word of a role's name says the type",
		Seen:  fmt.Sprintf("%d held on single resources; others than the name says: %s", cases, sorted(wrong)),
		Means: "The table of role names misses something: answers about all resources of that type may lack people. Please report it.",
	}.decide(cases, len(wrong) == 0)
}

// documentedRoles are the names that Segment documents.
var documentedRoles = []string{ //nolint:gochecknoglobals // Constant.
	access.OwnerRole, access.MinimalRole, access.PIIRole, "Source Admin", "Source Read-only", "Function Admin", "Functions Admin", "Function Read-only",
	"Warehouse Destination Admin", "Warehouse Destination Read-only", "Unify and Engage Admin", "Unify and Engage Read-only",
	"Unify Read-only, Engage User", "Identity Admin", "Tracking Plan Admin", "Tracking Plan Read-only", "End User Privacy Admin",
	"Entities Admin", "Entities Read-only",
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
		Question: 17, Name: "one role in two entries, and several types in one", Assumed: "both may happen",
		Seen: fmt.Sprintf("of %d entries, %d repeat a role and %d mix types", cases, twice, mixed), Means: "Nothing: both are read, and kept when something is written.",
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
	return Check{
		Question: 18, Name: "limits of counts", Assumed: "a page of 1001 rows is refused",
		Seen:  fmt.Sprintf("count 1001: %s; at most %d entries, and %d resources in one", statusText(w.tooMany), entries, most),
		Means: "Larger pages than --page-size allows would be possible.",
	}.decide(w.tooMany, w.tooMany/100 == 4)
}

func checkRepeatedRows(w *workspace) Check {
	return Check{
		Question: 19, Name: "rows that a list repeats", Assumed: "may happen while the workspace changes",
		Seen: strconv.Itoa(w.repeated), Means: "Nothing: a repeated row counts once.",
	}.decide(w.repeated, true)
}

func checkNext(w *workspace) Check {
	forms := map[string]int{}
	for _, byForm := range w.next {
		for form, n := range byForm {
			forms[form] += n
		}
	}
	return Check{
		Question: 20, Name: "the cursor of a last page", Assumed: "absent, null or empty", Seen: sorted(forms), Means: "Lists may not end.", sync: true,
	}.decide(len(forms), forms["another type"] == 0)
}

func checkLimits(w *workspace) Check {
	c := Check{
		Question: 21, Name: "headers about the rate limit", Assumed: "each answer has them, and all requests count together",
		Seen:  fmt.Sprintf("limit: %s; remaining: %s", sorted(w.headers[headerLimit]), sorted(w.headers[headerRemaining])),
		Means: "baton-segment learns the limit only from answers with 429, so others who use the token may be slowed down.",
	}
	together, apart := 0, 0
	for i := 1; i < len(w.limits); i++ {
		last, now := w.limits[i-1], w.limits[i]
		switch {
		case last.endpoint == now.endpoint || last.limit != now.limit:
		case now.remaining < last.remaining:
			together++
		default:
			apart++
		}
	}
	c.Seen += fmt.Sprintf("; from one endpoint to another it fell %d times and did not %d times", together, apart)
	return c.decide(len(w.limits), apart <= together && w.headers[headerLimit]["absent"] == 0)
}

func checkReset(w *workspace) Check {
	understood, cases := 0, 0
	for shape, n := range w.headers[headerReset] {
		if shape == "absent" {
			continue
		}
		cases += n
		if strings.Trim(shape, "9") == "" || !strings.ContainsAny(shape, "9?") {
			understood += n
		}
	}
	return Check{
		Question: 22, Name: "the form of the header that says when the limit resets", Assumed: "a number or a date of a known form", Seen: sorted(w.headers[headerReset]),
		Means: "baton-segment ignores the header and waits for a minute instead.",
	}.decide(cases, understood == cases)
}

func checkDangling(w *workspace) Check {
	dangling, cases := map[string]int{}, 0
	w.held(func(_ segmentapi.Permission, s segmentapi.Scope) {
		ids, listed := w.listed[s.Type]
		if !listed || len(ids) == 0 {
			return
		}
		cases++
		forms := []string{s.ID}
		if s.Type == segmentapi.ScopeSpace {
			forms = access.IDForms(access.TypeSpace, s.ID)
		}
		if !slices.ContainsFunc(forms, func(id string) bool { return ids[id] }) {
			dangling[string(s.Type)]++
		}
	})
	n := 0
	for _, count := range dangling {
		n += count
	}
	return Check{
		Question: 25, Name: "permissions on resources that no list has", Assumed: "possible", Seen: fmt.Sprintf("of %d: %s", cases, sorted(dangling)),
		Means: "A sync shows them with listed: false. They may be leftovers of deleted resources.",
	}.decide(n, true)
}

func checkFunctionIDs(w *workspace) Check {
	listed, held := w.ids["list of functions"], w.ids["permissions on FUNCTION"]
	known := true
	for shape := range held {
		prefix, _, _ := strings.Cut(shape, " ")
		same := func(other string) bool { return strings.HasPrefix(other, prefix+" ") }
		known = known && slices.ContainsFunc(slices.Collect(maps.Keys(listed)), same)
	}
	return Check{
		Question: 26, Name: "the form of ids of functions in permissions", Assumed: "that of the list", Seen: "lists: " + sorted(listed) + "; permissions: " + sorted(held),
		Means: "Roles on functions are shown on functions that Segment seems not to list.", sync: true, provision: true,
	}.decide(len(held), known)
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
	n := w.inBoth()
	return Check{
		Question: 27, Name: "invited people among the users", Assumed: "no: invites have a list of their own",
		Seen: fmt.Sprintf("%d of %d invites have the e-mail of a user", n, len(w.invites)), Means: "All who are invited are shown as users, since nobody is shown twice.", sync: true,
	}.decide(len(w.invites), n < len(w.invites) || n == 0)
}

func checkAcceptedInvites(w *workspace) Check {
	n := w.inBoth()
	return Check{
		Question: 31, Name: "accepted invites that are still listed", Assumed: "possible for a while",
		Seen: fmt.Sprintf("%d of %d invites have the e-mail of a user", n, len(w.invites)), Means: "Nothing: whoever has joined is shown as a user only.",
	}.decide(n, true)
}

// checkGroupPermissions looks for members whose details do not show what their group gives.
// Somebody may hold the same as the group, so all members must agree.
func checkGroupPermissions(w *workspace) Check {
	details := map[string][]segmentapi.Assignment{}
	for _, u := range w.details {
		details[u.ID] = segmentapi.Assignments(u.Permissions)
	}
	shown, cases := 0, 0
	for _, g := range w.groups {
		given := slices.DeleteFunc(segmentapi.Assignments(g.Permissions), func(a segmentapi.Assignment) bool { return a.RoleName == access.MinimalRole })
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
	const enough = 3
	c := Check{
		Question: 30, Name: "what groups give, in the details of users", Assumed: "not shown there", Seen: fmt.Sprintf("%d of %d memberships show all that the group gives", shown, cases),
		Means: "What comes through a group looks as if it were held directly. Do not revoke or grant roles of users.", sync: true, provision: true,
	}
	if shown == cases && cases < enough {
		cases = 0 // These few may hold it themselves.
	}
	return c.decide(cases, shown < cases)
}

func checkDetails(w *workspace) Check {
	without := w.rows[rowKind{"user", false}] + w.rows[rowKind{"userGroup", false}]
	with := w.rows[rowKind{"user", true}] + w.rows[rowKind{"userGroup", true}]
	return Check{
		Question: 34, Name: "permissions in details", Assumed: "always there for this token", Seen: fmt.Sprintf("%d have them, %d have not", with, without),
		Means: "The token does not see permissions, and a sync fails: use a token with the role Workspace Owner.", sync: true, provision: true,
	}.decide(with+without, without == 0)
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
		Question: 35, Name: "pages of 1000 rows", Assumed: "every list takes them", Seen: fmt.Sprintf("asked of %d lists; refused by: %s", cases, firstOf(strings.Join(refused, ", "), "none")),
		Means: "A sync asks for 200 rows instead. Set --page-size 200, which saves the refused requests.",
	}.decide(cases, len(refused) == 0)
}

// olderPageSize is the most that older documents of Segment allow.
const olderPageSize = 200

// checkFailures is about requests that failed for no reason that is known.
func checkFailures(w *workspace) Check {
	var failed []string
	for _, name := range slices.Sorted(maps.Keys(w.failed)) {
		if err := w.failed[name]; !segmentapi.LacksFeature(err) {
			failed = append(failed, fmt.Sprintf("%s: %s", name, statusText(statusIn(err))))
		}
	}
	return Check{
		Name: "requests that failed", Assumed: "none", Seen: firstOf(strings.Join(failed, ", "), "none"), Means: "A sync fails as well.", sync: true, provision: true,
	}.decide(1, len(failed) == 0)
}
