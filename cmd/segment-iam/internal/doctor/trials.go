package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// The names of the checks that write.
const (
	attached         = "what a new group holds"
	replacedWithNone = "replacing permissions with none"
	postedAgain      = "posting a role that is held already"
	writtenLabels    = "what is read after a role was written on a label"
	pluralMembers    = "removing members under /groups instead of /group"
	absentUser       = "removing a user who does not exist"
	absentInvite     = "removing an invite and a member who do not exist"
	memberAgain      = "adding a member again"
	invitedAgain     = "inviting somebody who is invited"
	danglingSource   = "writing a role on a source that does not exist"
	warehouseScope   = "writing a role on a single warehouse"
	takenScopes      = "which roles Segment takes on which types"
	readsAfterWrites = "reads after writes"
)

// tryAll tries everything. Memberships come first, while the group gives nothing.
func (t *trial) tryAll(ctx context.Context) error {
	for _, try := range []func(context.Context) error{
		t.tryAttached, t.tryMember, t.tryAbsent, t.tryReplaceWithNothing, t.tryRepeatedPost, t.tryEntries, t.tryScopes, t.tryDangling, t.tryLabels, t.tryInvite,
	} {
		if err := try(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	longest := slices.Max(append([]time.Duration{0}, t.delays...))
	t.add(Check{
		Question: 29, Name: readsAfterWrites, Assumed: "may lag for up to " + segmentapi.DefaultSettleTime.String(),
		Seen:  fmt.Sprintf("%d writes were read back, the slowest after %s; %d were not within %s", len(t.delays), longest.Round(100*time.Millisecond), t.never, visibleWithin),
		Means: "baton-segment reports changes as failed that were made: do not provision.", provision: true,
	}.decide(len(t.delays)+t.never, t.never == 0 && longest <= segmentapi.DefaultSettleTime))
	return nil
}

func (t *trial) add(c Check) { t.results = append(t.results, c) }

// An entry is one of the permissions in a request.
type entry struct {
	RoleID    string     `json:"roleId"`
	Resources []resource `json:"resources"`
}

type resource struct {
	ID     string  `json:"id"`
	Type   string  `json:"type"`
	Labels []label `json:"labels,omitempty"`
}

type label struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func (t *trial) permissions(ctx context.Context, method string, entries ...entry) (int, []byte, error) {
	if entries == nil {
		entries = []entry{}
	}
	return t.send(ctx, method, "/groups/"+t.group+"/permissions", nil, map[string]any{"permissions": entries})
}

func (t *trial) onWorkspace(ctx context.Context) ([]resource, error) {
	ws, err := t.client.Workspace.Get(ctx)
	if err != nil {
		return nil, err
	}
	return []resource{{ID: ws.ID, Type: string(segmentapi.ScopeWorkspace)}}, nil
}

// role returns the id of a role by one of its names, or nothing.
func (t *trial) role(names ...string) string {
	for _, r := range t.roles {
		for _, name := range names {
			if strings.TrimSpace(r.Name) == name {
				return r.ID
			}
		}
	}
	return ""
}

const readSources = "Source Read-only"

func (t *trial) tryAttached(ctx context.Context) error {
	var got []segmentapi.Permission
	t.wait(ctx, func() bool { got = t.heldByGroup(ctx); return got != nil })
	seen := "nothing"
	if len(got) > 0 {
		seen = fmt.Sprintf("%d entries, the first with %s", len(got), roleText(got[0].RoleName))
	}
	t.add(Check{
		Question: 23, Name: attached, Assumed: "Minimal Workspace Access or nothing", Seen: seen,
		Means: "A new group gives its members more than was asked for: do not create groups with baton-segment.", provision: true,
	}.decide(1, len(got) == 0 || len(got) == 1 && strings.TrimSpace(got[0].RoleName) == access.MinimalRole))
	return ctx.Err()
}

// tryMember adds the test address to the group while the group gives nothing, twice and in
// another case, and removes it.
func (t *trial) tryMember(ctx context.Context) error {
	again := Check{Question: 10, Name: memberAgain, Assumed: "changes nothing, or is refused with 409", Seen: "not tried: give --test-address", Means: "baton-segment reports an error for what is already so.", provision: true}
	inCase := Check{Question: 12, Name: "an e-mail in another case", Assumed: "means the same person or is refused", Seen: again.Seen, Means: "One person may be in a group twice: write e-mails as Segment shows them.", provision: true}
	if t.TestAddress == "" || t.minimal == "" {
		t.add(again.decide(0, false))
		t.add(inCase.decide(0, false))
		return nil
	}
	on, err := t.onWorkspace(ctx)
	if err != nil {
		return err
	}
	status, _, err := t.permissions(ctx, http.MethodPut, entry{t.minimal, on})
	if err != nil {
		return err
	}
	if status/100 != 2 {
		again.Seen = fmt.Sprintf("not tried: giving the group %s only was answered with %d", access.MinimalRole, status)
		inCase.Seen = again.Seen
		t.add(again.decide(0, false))
		t.add(inCase.decide(0, false))
		return nil
	}
	var statuses []int
	for _, email := range []string{t.TestAddress, t.TestAddress, swapCase(t.TestAddress)} {
		status, _, err := t.send(ctx, http.MethodPost, "/groups/"+t.group+"/users", nil, map[string]any{"emails": []string{email}})
		if err != nil {
			return err
		}
		statuses = append(statuses, status)
	}
	members := 0
	t.wait(ctx, func() bool { members = t.countMembers(ctx); return members > 0 })
	again.Seen, inCase.Seen = statusText(statuses[1]), fmt.Sprintf("%d, and then %d members", statuses[2], members)
	t.add(again.decide(statuses[0]/100, statuses[1]/100 == 2 || statuses[1] == http.StatusConflict))
	t.add(inCase.decide(statuses[0]/100, members == 1))
	return t.removeMember(ctx)
}

// removeMember takes the test address out of the group. It returns an error unless the group
// is seen to be empty, because roles are tried next.
func (t *trial) removeMember(ctx context.Context) error {
	for _, email := range []string{t.TestAddress, swapCase(t.TestAddress)} {
		if _, _, err := t.send(ctx, http.MethodDelete, "/group/"+t.group+"/users", url.Values{"emails.0": {email}}, nil); err != nil {
			return err
		}
	}
	if !t.wait(ctx, func() bool { return t.countMembers(ctx) == 0 }) {
		return fmt.Errorf("%w: %s", errStillMember, t.TestAddress)
	}
	return ctx.Err()
}

var errStillMember = errors.New("the test address cannot be taken out of the group, so no role is tried on it")

func swapCase(email string) string {
	if upper := strings.ToUpper(email); upper != email {
		return upper
	}
	return strings.ToLower(email)
}

// countMembers returns how many users and invites are in the group, or -1 if these cannot
// be read.
func (t *trial) countMembers(ctx context.Context) int {
	n := 0
	for _, err := range t.client.Groups.AllMembers(ctx, t.group) {
		if err != nil {
			return -1
		}
		n++
	}
	for _, err := range t.client.Groups.AllInvites(ctx, t.group) {
		if err != nil {
			return -1
		}
		n++
	}
	return n
}

// tryAbsent deletes what does not exist: a member, a user and an invite.
func (t *trial) tryAbsent(ctx context.Context) error {
	absent := url.Values{"emails.0": {t.guard.address}}
	singular, _, err := t.send(ctx, http.MethodDelete, "/group/"+t.group+"/users", absent, nil)
	if err != nil {
		return err
	}
	plural, _, err := t.send(ctx, http.MethodDelete, "/groups/"+t.group+"/users", absent, nil)
	if err != nil {
		return err
	}
	t.add(Check{
		Question: 2, Name: pluralMembers, Assumed: "not found", Seen: fmt.Sprintf("/groups: %d; /group: %d", plural, singular), Means: "Nothing: baton-segment uses /group.",
	}.decide(1, plural == http.StatusNotFound || plural == http.StatusMethodNotAllowed))
	if _, err = t.client.Users.Get(ctx, t.guard.user); err == nil {
		return fmt.Errorf("user %s exists, although it is random", t.guard.user)
	}
	user, _, err := t.send(ctx, http.MethodDelete, "/users", url.Values{"userIds.0": {t.guard.user}}, nil)
	if err != nil {
		return err
	}
	t.add(Check{
		Question: 8, Name: absentUser, Assumed: "404 or 422", Seen: statusText(user), Means: "baton-segment reads users after removing them, so the status does not matter.",
	}.decide(1, user == http.StatusNotFound || user == http.StatusUnprocessableEntity))
	invite, _, err := t.send(ctx, http.MethodDelete, "/invites", absent, nil)
	if err != nil {
		return err
	}
	known := func(status int) bool {
		return status/100 == 2 || status == http.StatusNotFound || status == http.StatusUnprocessableEntity || status == http.StatusBadRequest
	}
	t.add(Check{
		Question: 9, Name: absentInvite, Assumed: "success, 404 or 422", Seen: fmt.Sprintf("invite: %d; member: %d", invite, singular),
		Means: "baton-segment reports an error for what is already so.", provision: true,
	}.decide(1, known(invite) && known(singular)))
	return nil
}

// tryReplaceWithNothing replaces all permissions with an empty list.
func (t *trial) tryReplaceWithNothing(ctx context.Context) error {
	status, _, err := t.permissions(ctx, http.MethodPut)
	if err != nil {
		return err
	}
	left := -1
	t.wait(ctx, func() bool {
		held := t.heldByGroup(ctx)
		left = len(held)
		return held != nil
	})
	t.add(Check{
		Question: 3, Name: replacedWithNone, Assumed: "refused, or it leaves nothing or Minimal Workspace Access", Seen: fmt.Sprintf("%d, and then %d entries", status, left),
		Means: "Nothing: baton-segment writes Minimal Workspace Access instead.",
	}.decide(1, status/100 == 4 || left <= 1))
	return nil
}

// tryRepeatedPost posts a role on the workspace, then the same role on labels or again.
func (t *trial) tryRepeatedPost(ctx context.Context) error {
	role := t.role(readSources)
	merge := Check{Question: 4, Name: postedAgain, Assumed: "adds to what is held", Seen: "the workspace lacks the role or a source", Means: "A grant could take other permissions away: do not provision.", provision: true}
	reply := Check{Question: 28, Name: "the answer to a posted permission", Assumed: "not relied on", Seen: merge.Seen, Means: "Nothing: baton-segment reads what is held."}
	source := t.anyID(segmentapi.ScopeSource)
	if role == "" || source == "" {
		t.add(merge.decide(0, false))
		t.add(reply.decide(0, false))
		return nil
	}
	on, err := t.onWorkspace(ctx)
	if err != nil {
		return err
	}
	first, _, err := t.permissions(ctx, http.MethodPost, entry{role, on})
	if err != nil {
		return err
	}
	t.wait(ctx, func() bool { return t.holds(ctx, role, segmentapi.ScopeWorkspace) })
	before := len(segmentapi.Assignments(t.heldByGroup(ctx)))
	second, body, err := t.permissions(ctx, http.MethodPost, entry{role, []resource{{source, string(segmentapi.ScopeSource), nil}}})
	if err != nil {
		return err
	}
	t.wait(ctx, func() bool { return t.holds(ctx, role, segmentapi.ScopeSource) })
	after := len(segmentapi.Assignments(t.heldByGroup(ctx)))
	merge.Seen = fmt.Sprintf("%d and %d; before it the group held %d, after it %d", first, second, before, after)
	t.add(merge.decide(1, second/100 == 2 && after == before+1 || second/100 == 4 && after == before))
	var answer struct {
		Data struct {
			Permissions []struct {
				Resources []json.RawMessage `json:"resources"`
			} `json:"permissions"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &answer) == nil {
		n := 0
		for _, p := range answer.Data.Permissions {
			n += len(p.Resources)
		}
		reply.Seen = fmt.Sprintf("%d in the answer, %d held", n, after)
	}
	t.add(reply.decide(1, true))
	return nil
}

// anyID returns the id of a listed resource of a type, or nothing.
func (t *trial) anyID(scope segmentapi.ScopeType) string {
	least := ""
	for id := range t.listed[scope] {
		if least == "" || id < least {
			least = id
		}
	}
	return least
}

func (t *trial) holds(ctx context.Context, role string, scope segmentapi.ScopeType) bool {
	for _, a := range segmentapi.Assignments(t.heldByGroup(ctx)) {
		if a.RoleID == role && a.Scope.Type == scope {
			return true
		}
	}
	return false
}

// tryEntries writes one role in two entries, and two types in one entry.
func (t *trial) tryEntries(ctx context.Context) error {
	role, source := t.role(readSources), t.anyID(segmentapi.ScopeSource)
	c := Check{Question: 17, Name: "writing one role in two entries, and two types in one", Assumed: "not done", Seen: "the workspace lacks the role or a source", Means: "Nothing: baton-segment writes one entry for each role and set of labels."}
	if role == "" || source == "" {
		t.add(c.decide(0, false))
		return nil
	}
	on, err := t.onWorkspace(ctx)
	if err != nil {
		return err
	}
	one := []resource{{source, string(segmentapi.ScopeSource), nil}}
	twice, _, err := t.permissions(ctx, http.MethodPut, entry{role, on}, entry{role, one})
	if err != nil {
		return err
	}
	mixed, _, err := t.permissions(ctx, http.MethodPut, entry{role, append(on, one...)})
	if err != nil {
		return err
	}
	c.Seen = fmt.Sprintf("two entries: %d; two types: %d", twice, mixed)
	t.add(c.decide(1, true))
	return nil
}

// tryScopes writes a role of each family on a resource of each type.
func (t *trial) tryScopes(ctx context.Context) error {
	var taken, wrong []string
	cases := 0
	warehouse := 0
	for _, names := range [][]string{{readSources}, {"Function Read-only", "Functions Read-only"}, {"Warehouse Destination Read-only", "Warehouse Read-only"}, {"Unify and Engage Read-only"}} {
		role := t.role(names...)
		for _, typeID := range []string{access.TypeSource, access.TypeFunction, access.TypeWarehouse, access.TypeSpace} {
			scope, _ := access.ScopeOf(typeID)
			id := t.anyID(scope)
			if role == "" || id == "" {
				continue
			}
			status, _, err := t.permissions(ctx, http.MethodPut, entry{role, []resource{{id, string(scope), nil}}})
			if err != nil {
				return err
			}
			cases++
			accepted := status/100 == 2
			if accepted {
				taken = append(taken, names[0]+" on "+typeID)
			}
			if typeID == access.TypeWarehouse && access.Applies(names[0], typeID) {
				warehouse = status
			} else if accepted != access.Applies(names[0], typeID) {
				wrong = append(wrong, fmt.Sprintf("%s on %s: %d", names[0], typeID, status))
			}
		}
	}
	t.add(Check{
		Question: 15, Name: warehouseScope, Assumed: "refused", Seen: statusText(warehouse), Means: "Nothing: baton-segment does not offer it.",
	}.decide(warehouse, warehouse/100 == 4))
	t.add(Check{
		Question: 16, Name: takenScopes, Assumed: "those that the first word of the role's name says",
		Seen:  fmt.Sprintf("of %d: taken: %s; otherwise than assumed: %s", cases, firstOf(strings.Join(taken, ", "), "none"), firstOf(strings.Join(wrong, ", "), "none")),
		Means: "baton-segment offers entitlements that Segment refuses, or does not offer some that it takes. Please report it.",
	}.decide(cases, len(wrong) == 0))
	return nil
}

// tryDangling writes a role on a source that does not exist.
func (t *trial) tryDangling(ctx context.Context) error {
	role := t.role(readSources)
	c := Check{Question: 25, Name: danglingSource, Assumed: "404 or 422, or it is kept", Seen: "the workspace lacks the role", Means: "A change of somebody who holds a role on a deleted source fails.", provision: true}
	if role == "" {
		t.add(c.decide(0, false))
		return nil
	}
	status, _, err := t.permissions(ctx, http.MethodPut, entry{role, []resource{{"doctor" + strconv.Itoa(len(t.guard.user)) + "nosource", string(segmentapi.ScopeSource), nil}}})
	if err != nil {
		return err
	}
	c.Seen = statusText(status)
	t.add(c.decide(1, status/100 == 2 || status == http.StatusNotFound || status == http.StatusUnprocessableEntity || status == http.StatusBadRequest))
	return nil
}

// tryLabels writes a role on a label and compares what is read with what was written.
func (t *trial) tryLabels(ctx context.Context) error {
	c := Check{Question: 32, Name: writtenLabels, Assumed: "what was written", Seen: "the workspace lacks the role or a label", Means: "A revocation could widen what is left: do not provision roles on labels.", provision: true}
	labels, err := t.client.Labels.List(ctx)
	role := t.role(readSources)
	if err != nil || len(labels) == 0 || role == "" {
		t.add(c.decide(0, false))
		return nil //nolint:nilerr // A workspace without labels may answer with an error.
	}
	on, err := t.onWorkspace(ctx)
	if err != nil {
		return err
	}
	on[0].Labels = []label{{labels[0].Key, labels[0].Value}}
	want := []segmentapi.Assignment{{RoleID: role, Scope: segmentapi.Scope{Type: segmentapi.ScopeWorkspace, ID: on[0].ID, Labels: labels[:1]}}}
	held, cases := true, 0
	var seen []string
	for _, method := range []string{http.MethodPut, http.MethodPost} {
		if minimal := t.minimal; method == http.MethodPost && minimal != "" { // POST must not find the role.
			if _, _, err = t.permissions(ctx, http.MethodPut, entry{minimal, []resource{{on[0].ID, on[0].Type, nil}}}); err != nil {
				return err
			}
			t.wait(ctx, func() bool { return !t.holds(ctx, role, segmentapi.ScopeWorkspace) })
		}
		status, _, err := t.permissions(ctx, method, entry{role, on})
		if err != nil {
			return err
		}
		if status/100 != 2 {
			seen = append(seen, fmt.Sprintf("%s: %d", method, status))
			continue
		}
		cases++
		t.wait(ctx, func() bool { return t.holds(ctx, role, segmentapi.ScopeWorkspace) })
		missing := len(segmentapi.Compare(want, segmentapi.Assignments(t.heldByGroup(ctx))).Removed)
		held = held && missing == 0
		seen = append(seen, fmt.Sprintf("%s: %d, %d of 1 missing", method, status, missing))
	}
	c.Seen = strings.Join(seen, "; ")
	t.add(c.decide(cases, held))
	return nil
}

// tryInvite invites an address twice and deletes the invite.
func (t *trial) tryInvite(ctx context.Context) error {
	c := Check{Question: 11, Name: invitedAgain, Assumed: "409 or 422", Seen: "not tried: give --invite", Means: "An invite may be sent twice: baton-segment looks for it before."}
	if t.Invite == "" {
		t.add(c.decide(0, false))
		return nil
	}
	if t.minimal == "" {
		c.Seen = "the workspace lacks " + access.MinimalRole
		t.add(c.decide(0, false))
		return nil
	}
	body := map[string]any{"invites": []map[string]any{{"email": t.Invite, "permissions": []map[string]string{{"roleId": t.minimal}}}}}
	defer t.deleteInvite(ctx) // Even if the answer is lost.
	t.Log("inviting %s", t.Invite)
	first, _, err := t.send(ctx, http.MethodPost, "/invites", nil, body)
	if err != nil {
		return err
	}
	second, _, err := t.send(ctx, http.MethodPost, "/invites", nil, body)
	if err != nil {
		return err
	}
	c.Seen = fmt.Sprintf("%d, then %d", first, second)
	t.add(c.decide(first/100, second == http.StatusConflict || second == http.StatusUnprocessableEntity))
	return nil
}

// deleteInvite deletes the invite that the trial made, even if the context is done.
func (t *trial) deleteInvite(ctx context.Context) {
	cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	status, _, err := t.send(cleanup, http.MethodDelete, "/invites", url.Values{"emails.0": {t.Invite}}, nil)
	if err != nil || status/100 != 2 && status != http.StatusNotFound {
		t.Log("the invite of %s may be left behind: look for it in Segment under Access Management, and delete it (status %s)", t.Invite, statusText(status))
		return
	}
	t.Log("deleted the invite of %s", t.Invite)
}
