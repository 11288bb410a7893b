package doctor

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// writeAnswers returns the table of all answers to writes, by a name for each.
func writeAnswers() map[string]answer {
	all := map[string]answer{}
	for _, part := range []map[string]answer{permissionAnswers(), absenceAnswers(), membershipAnswers(), roleAnswers(), manyAnswers(), lagAnswers(), auditAnswers()} {
		maps.Copy(all, part)
	}
	return all
}

// refusing refuses the nth request of an operation, or all of them, without carrying it out.
func refusing(operation string, ordinal, status int) sim.Fault {
	return sim.Fault{Operation: operation, Ordinal: ordinal, Kind: sim.FaultStatus, Status: status}
}

// pretend makes requests succeed that the simulator refuses.
func pretend(method, path string, status int) []sim.Option {
	return opts(sim.WithAnswers(func(a *sim.Answer) {
		if a.Request.Method == method && strings.HasPrefix(a.Request.URL.Path, path) && a.Status/100 == 4 {
			a.Status, a.Body = status, map[string]any{"data": map[string]any{"status": "SUCCESS"}}
		}
	}))
}

// emptied accepts an empty list of permissions, and then shows the first n of two others.
func emptied(n int) []sim.Option {
	none := false
	return opts(sim.WithAnswers(func(a *sim.Answer) {
		switch group, _ := a.Data()["userGroup"].(map[string]any); {
		case a.Operation == putPermissions && a.Status == http.StatusUnprocessableEntity:
			none = true
			a.Status, a.Body = http.StatusOK, map[string]any{"data": map[string]any{"permissions": []any{}}}
		case a.Request.Method != http.MethodGet:
			none = false
		case a.Operation == "getUserGroup" && none:
			group["permissions"] = []any{onAll("first"), onAll("second")}[:n]
		}
	}))
}

// onAll is a permission on the workspace, as an answer has it.
func onAll(role string) map[string]any {
	return map[string]any{"roleId": role, "roleName": role, "resources": []any{map[string]any{"id": "ws", "type": "WORKSPACE", "labels": []any{}}}}
}

const (
	putPermissions  = "replacePermissionsForUserGroup"
	postPermissions = "addPermissionsToUserGroup"
)

func permissionAnswers() map[string]answer {
	const unsafe = "provision"
	attach := func(permissions ...any) []sim.Option {
		return opts(onOwnGroup(func(group map[string]any) { group["permissions"] = permissions }))
	}
	forbidden := sim.WithAnswers(func(a *sim.Answer) {
		if a.Operation == putPermissions && a.Status == http.StatusUnprocessableEntity {
			a.Fail(http.StatusForbidden)
		}
	})
	return map[string]answer{
		"a new group gives Minimal": {check: attached, verdict: AsAssumed, seen: "1 permissions, the first with Minimal Workspace Access"},
		"a new group gives nothing": {check: attached, opts: attach(), verdict: AsAssumed, seen: "nothing", unsafe: unsafe},
		"a new group gives another": {check: attached, opts: attach(onAll("Source Admin")), verdict: Differs, seen: "1 permissions, the first with Source Admin", unsafe: unsafe},
		"a new group gives two":     {check: attached, opts: attach(onAll("Minimal Workspace Access"), onAll("PII Access")), verdict: Differs, seen: "2 permissions", unsafe: unsafe},

		"PUT none is refused":   {check: replacedWithNone, verdict: AsAssumed, seen: "422, and then 1 permissions"},
		"PUT none empties":      {check: replacedWithNone, opts: emptied(0), verdict: AsAssumed, seen: "200, and then 0 permissions"},
		"PUT none leaves one":   {check: replacedWithNone, opts: emptied(1), verdict: AsAssumed, seen: "200, and then 1 permissions"},
		"PUT none leaves two":   {check: replacedWithNone, opts: emptied(2), verdict: Differs, seen: "200, and then 2 permissions"},
		"PUT none is no answer": {check: replacedWithNone, fault: refusing(putPermissions, 2, http.StatusInternalServerError), verdict: NotSeen, seen: "500"},

		"POST merges":           {check: postedAgain, verdict: AsAssumed, seen: "200 and 200; before it the group held 2, after it 3, and 0 were lost"},
		"POST again is refused": {check: postedAgain, fault: refusing(postPermissions, 2, http.StatusConflict), verdict: AsAssumed, seen: "200 and 409; before it the group held 2, after it 2, and 0"},
		"POST again changes none": {check: postedAgain, fault: sim.Fault{Operation: postPermissions, Ordinal: 2, Kind: sim.FaultStatus, Status: http.StatusOK, Body: `{"data":{"permissions":[]}}`},
			verdict: Differs, seen: "after it 2", unsafe: unsafe},
		"POST again is 503":      {check: postedAgain, fault: refusing(postPermissions, 2, http.StatusServiceUnavailable), verdict: NotSeen, seen: "200 and 503"},
		"POST is refused":        {check: postedAgain, fault: refusing(postPermissions, 1, http.StatusForbidden), verdict: NotSeen, seen: "posting the role was answered with 403"},
		"POST replaces":          {check: postedAgain, opts: opts(sim.WithPost(sim.PostReplaces)), verdict: Differs, seen: "1 were lost", unsafe: unsafe},
		"POST replaces the role": {check: postedAgain, opts: opts(sim.WithPost(sim.PostReplacesRole)), verdict: Differs, seen: "1 were lost", unsafe: unsafe},

		"POST answers all":        {check: postedAnswer, verdict: AsAssumed, seen: "3 in the answer, 3 held"},
		"POST answers one":        {check: postedAnswer, opts: opts(onData(postPermissions, func(data map[string]any) { data["permissions"] = first(data["permissions"]) })), verdict: AsAssumed, seen: "1 in the answer, 3 held"},
		"POST answers with a 500": {check: postedAnswer, fault: refusing(postPermissions, 2, http.StatusInternalServerError), verdict: NotSeen},

		"labels stay":         {check: writtenLabels, verdict: AsAssumed, seen: "PUT: 200, 0 of 1 missing, 0 others; POST: 200, 0 of 1 missing, 0 others"},
		"POST drops labels":   {check: writtenLabels, opts: opts(sim.WithNormalizing(sim.NormalizePostDropsLabels)), verdict: Differs, seen: "POST: 200, 1 of 1 missing, 1 others", unsafe: unsafe},
		"PUT drops labels":    {check: writtenLabels, opts: opts(sim.WithNormalizing(sim.NormalizePutDropsLabels)), verdict: Differs, seen: "PUT: 200, 1 of 1 missing, 1 others", unsafe: unsafe},
		"labels, and without": {check: writtenLabels, opts: opts(addUnlabeled()), verdict: Differs, seen: "0 of 1 missing, 1 others", unsafe: unsafe},
		"no labels":           {check: writtenLabels, edit: func(ws *sim.Workspace) { ws.Labels = nil }, verdict: NotSeen, seen: "the workspace lacks"},

		"a dangling source is 422":  {check: danglingSource, verdict: AsAssumed, seen: "422"},
		"a dangling source is kept": {check: danglingSource, opts: pretend(http.MethodPut, "/groups/", http.StatusOK), verdict: AsAssumed, seen: "200"},
		"a dangling source is 403":  {check: danglingSource, opts: opts(forbidden), verdict: Differs, seen: "403", unsafe: unsafe},
		"two entries are taken":     {check: writtenEntries, verdict: AsAssumed, seen: "two entries: 200; two types: 200"},
		"two types are refused":     {check: writtenEntries, fault: refusing(putPermissions, 4, http.StatusUnprocessableEntity), verdict: AsAssumed, seen: "two entries: 200; two types: 422"},
	}
}

// addUnlabeled shows each role on a label as if it were also on the whole workspace.
func addUnlabeled() sim.Option {
	return onOwnGroup(func(group map[string]any) {
		for _, p := range rowsOf(group["permissions"]) {
			permission, _ := p.(map[string]any)
			for _, r := range rowsOf(permission["resources"]) {
				if resource, _ := r.(map[string]any); len(rowsOf(resource["labels"])) > 0 {
					all := maps.Clone(resource)
					all["labels"] = []any{}
					permission["resources"] = append(rowsOf(permission["resources"]), all)
				}
			}
		}
	})
}

func absenceAnswers() map[string]answer {
	found := func(status int) []sim.Option {
		return opts(sim.WithAnswers(func(a *sim.Answer) {
			if a.Operation == "getUser" && strings.HasPrefix(a.Request.URL.Path, "/users/doctor") {
				a.Status, a.Body = status, map[string]any{"data": map[string]any{"user": map[string]any{"id": "x", "email": "x@example.com", "name": ""}}}
			}
		}))
	}
	return map[string]answer{
		"plural is known":     {check: pluralMembers, opts: pretend(http.MethodDelete, "/groups/", http.StatusOK), verdict: Differs, seen: "/groups: 200; /group: 404"},
		"plural is not known": {check: pluralMembers, verdict: AsAssumed, seen: "/groups: 404; /group: 404"},

		"no such user is a success": {check: absentUser, opts: pretend(http.MethodDelete, "/users", http.StatusOK), verdict: Differs, seen: "200"},
		"no such user is 404":       {check: absentUser, verdict: AsAssumed, seen: "404"},
		"no such user is 422":       {check: absentUser, fault: refusing("deleteUsers", 0, http.StatusUnprocessableEntity), verdict: AsAssumed, seen: "422"},
		"there is such a user":      {check: absentUser, opts: found(http.StatusOK), verdict: NotSeen, seen: "not tried"},
		"there may be such a user":  {check: absentUser, opts: found(http.StatusServiceUnavailable), verdict: NotSeen, seen: "not tried"},
		"no such user is 503":       {check: absentUser, fault: refusing("deleteUsers", 0, http.StatusServiceUnavailable), verdict: NotSeen, seen: "503"},

		"no such invite is 409":       {check: absentInvite, fault: refusing("deleteInvites", 1, http.StatusConflict), verdict: Differs, seen: "invite: 409; member: 404", unsafe: "provision"},
		"no such member is 403":       {check: absentInvite, fault: refusing("removeUsersFromUserGroup", 3, http.StatusForbidden), verdict: Differs, seen: "invite: 404; member: 403", unsafe: "provision"},
		"no such invite is a success": {check: absentInvite, opts: pretend(http.MethodDelete, "/invites", http.StatusOK), verdict: AsAssumed, seen: "invite: 200"},
		"no such invite is 404":       {check: absentInvite, verdict: AsAssumed, seen: "invite: 404; member: 404"},
	}
}

func membershipAnswers() map[string]answer {
	const unsafe = "provision"
	// A second member of the group, until both are removed.
	twice := func() sim.Option {
		deleted := false
		return sim.WithAnswers(func(a *sim.Answer) {
			deleted = deleted || a.Operation == "removeUsersFromUserGroup"
			if users := rowsOf(a.Data()["users"]); a.Operation == "listUsersFromUserGroup" && !deleted && len(users) == 1 {
				a.Data()["users"] = append(users, map[string]any{"id": "twice", "email": "x@example.com", "name": ""})
			}
		})
	}
	return map[string]answer{
		"a member again changes nothing": {check: memberAgain, verdict: AsAssumed, seen: "200"},
		"a member again is 409":          {check: memberAgain, fault: refusing("addUsersToUserGroup", 2, http.StatusConflict), verdict: AsAssumed, seen: "409"},
		"a member again is 422":          {check: memberAgain, fault: refusing("addUsersToUserGroup", 2, http.StatusUnprocessableEntity), verdict: Differs, seen: "422", unsafe: unsafe},
		"a member again is no answer":    {check: memberAgain, fault: refusing("addUsersToUserGroup", 2, http.StatusInternalServerError), verdict: NotSeen, seen: "500"},
		"a member is refused":            {check: memberAgain, fault: refusing("addUsersToUserGroup", 1, http.StatusForbidden), verdict: NotSeen, seen: "not tried: adding a member was answered with 403"},

		"another case is the same person": {check: memberInCase, verdict: AsAssumed, seen: "200, and then 1 members"},
		"another case is refused":         {check: memberInCase, fault: refusing("addUsersToUserGroup", 3, http.StatusUnprocessableEntity), verdict: AsAssumed, seen: "422, and then 1 members"},
		"another case is another person":  {check: memberInCase, opts: opts(twice()), verdict: Differs, seen: "200, and then 2 members", unsafe: unsafe},

		"an invite again is taken":    {check: invitedAgain, opts: pretend(http.MethodPost, "/invites", http.StatusCreated), verdict: Differs, seen: "201, then 201"},
		"an invite again is 409":      {check: invitedAgain, verdict: AsAssumed, seen: "201, then 409"},
		"an invite again is 503":      {check: invitedAgain, fault: refusing("createInvites", 2, http.StatusServiceUnavailable), verdict: NotSeen, seen: "201, then 503"},
		"the first invite is refused": {check: invitedAgain, fault: refusing("createInvites", 0, http.StatusUnprocessableEntity), verdict: NotSeen, seen: "the first invite was answered with 422"},
	}
}

func roleAnswers() map[string]answer {
	checked := opts(sim.WithRoleScopes())
	return map[string]answer{
		"a single warehouse is taken":   {check: warehouseScope, verdict: Differs, seen: "200"},
		"a single warehouse is refused": {check: warehouseScope, opts: checked, verdict: AsAssumed, seen: "422"},
		"there is no warehouse":         {check: warehouseScope, edit: func(ws *sim.Workspace) { ws.Warehouses = nil }, verdict: NotSeen, seen: "the workspace lacks"},

		"any role on any type": {check: takenScopes, verdict: Differs, seen: "Source Read-only on function: 200"},
		"roles on their types": {check: takenScopes, opts: checked, verdict: AsAssumed,
			seen: "of 15: taken: Source Read-only on source, Function Read-only on function, Unify and Engage Read-only on space; otherwise than assumed: none"},
		"no role on any type": {check: takenScopes, fault: refusing(putPermissions, 0, http.StatusForbidden), verdict: Differs, seen: "taken: none; otherwise than assumed: Source Read-only on source: 403", unsafe: "provision"},
		"nothing to be on": {check: takenScopes, edit: func(ws *sim.Workspace) {
			onlyMinimal(ws)
			ws.Sources, ws.Functions, ws.Warehouses, ws.Spaces = nil, nil, nil, nil
		}, verdict: NotSeen, seen: "of 0"},
	}
}

func manyAnswers() map[string]answer {
	sources := func(n int) func(*sim.Workspace) {
		return func(ws *sim.Workspace) {
			for i := range n - len(ws.Sources) {
				ws.Sources = append(ws.Sources, sim.Source{ID: fmt.Sprintf("more-%d", i), Slug: fmt.Sprintf("more-%d", i)})
			}
		}
	}
	most := func(n int) sim.Option {
		return onOwnGroup(func(group map[string]any) {
			for _, p := range rowsOf(group["permissions"]) {
				permission, _ := p.(map[string]any)
				permission["resources"] = rowsOf(permission["resources"])[:min(n, len(rowsOf(permission["resources"])))]
			}
		})
	}
	tooMany := opts(sim.WithAnswers(func(a *sim.Answer) {
		permissions := rowsOf(a.Data()["permissions"])
		if a.Operation == putPermissions && len(permissions) > 0 && len(rowsOf(member(permissions[0], "resources"))) > documentedCount {
			a.Fail(http.StatusUnprocessableEntity)
		}
	}))
	return map[string]answer{
		"201 are taken":         {check: manyResources, edit: sources(201), verdict: AsAssumed, seen: "201 of them: 200, and then 201 are held"},
		"201 of 300 are taken":  {check: manyResources, edit: sources(300), verdict: AsAssumed, seen: "201 of them: 200, and then 201 are held"},
		"201 are refused":       {check: manyResources, edit: sources(201), opts: tooMany, verdict: AsAssumed, seen: "201 of them: 422"},
		"200 of 201 are taken":  {check: manyResources, edit: sources(201), opts: opts(most(200)), verdict: Differs, seen: "201 of them: 200, and then 200 are held", unsafe: "provision"},
		"there are 200 sources": {check: manyResources, edit: sources(200), verdict: NotSeen, seen: "the workspace lacks the role or more than 200 sources"},
	}
}

func lagAnswers() map[string]answer {
	lag := func(d time.Duration) []sim.Option { return opts(sim.WithLag(d)) }
	return map[string]answer{
		"reads show writes late":      {check: readsAfterWrites, opts: lag(20 * time.Second), verdict: Differs, seen: "0 were not within 30s", unsafe: "provision"},
		"reads never show writes":     {check: readsAfterWrites, opts: opts(onOwnGroup(func(group map[string]any) { group["permissions"] = []any{} })), verdict: Differs, seen: "7 were not within 30s", unsafe: "provision"},
		"reads show writes at once":   {check: readsAfterWrites, verdict: AsAssumed, seen: "the slowest after 0s"},
		"reads show writes after 3 s": {check: readsAfterWrites, opts: lag(3 * time.Second), verdict: AsAssumed, seen: "the slowest after 3s"},
		"refusals are not late":       {check: readsAfterWrites, fault: refusing(postPermissions, 0, http.StatusConflict), verdict: AsAssumed, seen: "0 were not within 30s"},
	}
}

func auditAnswers() map[string]answer {
	without := opts(sim.WithoutFeatures(sim.FeatureAuditTrail))
	return map[string]answer{
		"events after 2 m":           {check: auditDelay, opts: opts(sim.WithAuditDelay(2 * time.Minute)), verdict: AsAssumed, seen: "was there after 2m"},
		"events after 20 m":          {check: auditDelay, opts: opts(sim.WithAuditDelay(20 * time.Minute)), verdict: NotSeen, seen: "was not there after 10m"},
		"no audit trail in the plan": {check: auditDelay, opts: without, verdict: NotSeen, seen: "40"},
		"events oldest first":        {check: auditOrder, opts: opts(sim.WithAuditOldestFirst()), verdict: Differs, seen: oldestFirst},
		"events newest first":        {check: auditOrder, verdict: AsAssumed, seen: newestFirst},
		"no events":                  {check: auditOrder, opts: without, verdict: NotSeen},
		"events about groups":        {check: auditResources, verdict: AsAssumed, seen: `of "the group's"`},
		"events about policies":      {check: auditResources, opts: opts(sim.WithAuditPolicyIDs()), verdict: AsAssumed, seen: `of "another's"`},
		"types of events":            {check: auditTypes, verdict: AsAssumed, seen: `1 of "User Group Deleted"`},
	}
}

// Each answer that Segment may give to a write has its verdict.
func TestWrites_EachAnswer(t *testing.T) {
	t.Parallel()
	for name, tt := range writeAnswers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := tt.server(t, sim.Demo())
				var log []string
				report, err := Run(t.Context(), trialOptions(s, &log))
				if err != nil {
					t.Fatal(err)
				}
				c := find(t, report, tt.check)
				if got := unsafeFor(report); c.Verdict != tt.verdict || got != tt.unsafe || !strings.Contains(c.Seen, tt.seen) {
					t.Errorf("%s, not safe to %q; want %s, %q, %q: %+v", c.Verdict, got, tt.verdict, tt.unsafe, tt.seen, c)
				}
			})
		})
	}
}

// As [TestChecks_CanDiffer], for the checks that write.
func TestWrites_CanDiffer(t *testing.T) {
	t.Parallel()
	informative := []string{postedAnswer, writtenEntries, auditDelay, auditTypes, auditResources}
	for _, c := range writeChecks() {
		verdicts := map[Verdict]int{}
		for _, tt := range writeAnswers() {
			if tt.check == c.Name {
				verdicts[tt.verdict]++
			}
		}
		if differs := verdicts[Differs] > 0; differs == slices.Contains(informative, c.Name) || verdicts[AsAssumed] == 0 {
			t.Errorf("question %d, %s: the table has %v", c.Question, c.Name, verdicts)
		}
		if c.Assumed == "" || c.Means == "" {
			t.Errorf("question %d, %s: incomplete: %+v", c.Question, c.Name, c)
		}
	}
}

// Late reads change neither verdicts nor counts.
func TestWrites_LateReads(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, opts ...sim.Option) map[string]string {
		t.Helper()
		seen := map[string]string{}
		synctest.Test(t, func(t *testing.T) {
			s := sim.New(sim.Demo(), opts...)
			var log []string
			report, err := Run(t.Context(), trialOptions(s, &log))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range writeChecks() {
				if c.Question > 0 && c.Name != readsAfterWrites {
					got := find(t, report, c.Name)
					seen[c.Name] = string(got.Verdict) + ": " + got.Seen
				}
			}
		})
		return seen
	}
	want := run(t)
	for name, opt := range map[string]sim.Option{
		"3 s":                  sim.WithLag(3 * time.Second),
		"8 s":                  sim.WithLag(8 * time.Second),
		"a replica behind 3 s": sim.WithReplicas(2, 3*time.Second),
		"two replicas behind":  sim.WithReplicas(3, 2*time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := run(t, opt)
			for check, seen := range want {
				if got[check] != seen {
					t.Errorf("%s: %s; without lag: %s", check, got[check], seen)
				}
			}
		})
	}
}
