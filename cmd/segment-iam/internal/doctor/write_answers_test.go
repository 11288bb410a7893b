package doctor

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// Each answer that Segment may give to a write has its verdict.
func TestWrites_EachAnswer(t *testing.T) {
	t.Parallel()
	answer := func(operation string, ordinal, status int) sim.Option {
		n := 0
		return sim.WithAnswers(func(a *sim.Answer) {
			if a.Operation != operation {
				return
			}
			if n++; n == ordinal || ordinal == 0 {
				a.Fail(status)
			}
		})
	}
	addPermission := func(a *sim.Answer, name string) {
		group, _ := a.Data()["userGroup"].(map[string]any)
		held, _ := group["permissions"].([]any)
		if group != nil && strings.HasPrefix(fmt.Sprint(group["name"]), GroupName) && len(held) < 2 {
			group["permissions"] = append(held, map[string]any{"roleId": "role", "roleName": name, "resources": []any{map[string]any{"id": "ws", "type": "WORKSPACE", "labels": []any{}}}})
		}
	}
	for name, tt := range map[string]struct {
		opts    []sim.Option
		check   string
		verdict Verdict
		unsafe  string
	}{
		"a new group gives more":    {[]sim.Option{sim.WithAnswers(func(a *sim.Answer) { addPermission(a, "Source Admin") })}, attached, Differs, "provision"},
		"a new group gives Minimal": {nil, attached, AsAssumed, ""},
		"PUT none is refused":       {nil, replacedWithNone, AsAssumed, ""},
		"POST replaces":             {[]sim.Option{sim.WithPost(sim.PostReplaces)}, postedAgain, Differs, "provision"},
		"POST merges":               {nil, postedAgain, AsAssumed, ""},
		"POST drops labels":         {[]sim.Option{sim.WithNormalizing(sim.NormalizePostDropsLabels)}, writtenLabels, Differs, "provision"},
		"PUT drops labels":          {[]sim.Option{sim.WithNormalizing(sim.NormalizePutDropsLabels)}, writtenLabels, Differs, "provision"},
		"labels stay":               {nil, writtenLabels, AsAssumed, ""},
		"plural is known":           {[]sim.Option{sim.WithAnswers(func(a *sim.Answer) { setStatus(a, http.MethodDelete, "/groups/", http.StatusOK) })}, pluralMembers, Differs, ""},
		"plural is not known":       {nil, pluralMembers, AsAssumed, ""},
		"no such user is a success": {[]sim.Option{sim.WithAnswers(func(a *sim.Answer) { setStatus(a, http.MethodDelete, "/users", http.StatusOK) })}, absentUser, Differs, ""},
		"no such user is 422":       {[]sim.Option{answer("deleteUsers", 0, http.StatusUnprocessableEntity)}, absentUser, AsAssumed, ""},
		"no such invite is 500":     {[]sim.Option{answer("deleteInvites", 1, http.StatusConflict)}, absentInvite, Differs, "provision"},
		"no such invite is 404":     {nil, absentInvite, AsAssumed, ""},
		"a member again is 409":     {[]sim.Option{answer("addUsersToUserGroup", 2, http.StatusConflict)}, memberAgain, AsAssumed, ""},
		"a member again is 422":     {[]sim.Option{answer("addUsersToUserGroup", 2, http.StatusUnprocessableEntity)}, memberAgain, Differs, "provision"},
		"an invite again is taken":  {[]sim.Option{sim.WithAnswers(func(a *sim.Answer) { setStatus(a, http.MethodPost, "/invites", http.StatusCreated) })}, invitedAgain, Differs, ""},
		"an invite again is 409":    {nil, invitedAgain, AsAssumed, ""},
		"a dangling source is 422":  {nil, danglingSource, AsAssumed, ""},
		"a dangling source is 403": {[]sim.Option{sim.WithAnswers(func(a *sim.Answer) {
			if a.Operation == "replacePermissionsForUserGroup" && a.Status == http.StatusUnprocessableEntity {
				a.Fail(http.StatusForbidden)
			}
		})}, danglingSource, Differs, "provision"},
		"warehouses are taken":        {nil, warehouseScope, Differs, ""},
		"any role on any type":        {nil, takenScopes, Differs, ""},
		"reads show writes late":      {[]sim.Option{sim.WithLag(20 * time.Second)}, readsAfterWrites, Differs, "provision"},
		"reads show writes at once":   {nil, readsAfterWrites, AsAssumed, ""},
		"reads show writes after 3 s": {[]sim.Option{sim.WithLag(3 * time.Second)}, readsAfterWrites, AsAssumed, ""},
		"events oldest first":         {[]sim.Option{sim.WithAuditOldestFirst()}, auditOrder, Differs, ""},
		"events newest first":         {nil, auditOrder, AsAssumed, ""},
		"no audit trail in the plan":  {[]sim.Option{sim.WithoutFeatures(sim.FeatureAuditTrail)}, auditOrder, NotSeen, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := sim.New(sim.Demo(), tt.opts...)
				var log []string
				report, err := Run(t.Context(), trialOptions(s, &log))
				if err != nil {
					t.Fatal(err)
				}
				c := find(t, report, tt.check)
				if got := unsafeFor(report); c.Verdict != tt.verdict || got != tt.unsafe {
					t.Errorf("%s, not safe to %q; want %s, %q: %+v", c.Verdict, got, tt.verdict, tt.unsafe, c)
				}
			})
		})
	}
}

// setStatus makes requests succeed that the simulator refuses.
func setStatus(a *sim.Answer, method, path string, status int) {
	if a.Request.Method == method && strings.HasPrefix(a.Request.URL.Path, path) && a.Status/100 == 4 {
		a.Status, a.Body = status, map[string]any{"data": map[string]any{"status": "SUCCESS"}}
	}
}
