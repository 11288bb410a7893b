package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
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
	postedAnswer     = "the answer to a posted permission"
	writtenEntries   = "writing one role in two entries, and two types in one"
	manyResources    = "writing one permission on more than 200 resources"
	writtenLabels    = "what is read after a role was written on a label"
	pluralMembers    = "removing members under /groups instead of /group"
	absentUser       = "removing a user who does not exist"
	absentInvite     = "removing an invite and a member who do not exist"
	memberAgain      = "adding a member again"
	memberInCase     = "an e-mail in another case"
	invitedAgain     = "inviting somebody who is invited"
	danglingSource   = "writing a role on a source that does not exist"
	warehouseScope   = "writing a role on a single warehouse"
	takenScopes      = "which roles Segment takes on which types"
	readsAfterWrites = "reads after writes"
)

// writeChecks returns all checks that write, without what they have seen.
func writeChecks() []Check {
	const nothing = "Nothing: baton-segment does not rely on the audit trail."
	return []Check{
		{Question: 2, Name: pluralMembers, Assumed: "not found", Means: "Nothing: baton-segment uses /group."},
		{Question: 3, Name: replacedWithNone, Assumed: "refused, or it leaves nothing or Minimal Workspace Access", Means: "Nothing: baton-segment writes Minimal Workspace Access instead."},
		{Question: 4, Name: postedAgain, Assumed: "adds to what is held", Means: "A grant could take other permissions away: do not provision.", provision: true},
		{Question: 8, Name: absentUser, Assumed: "404 or 422", Means: "baton-segment reads users after removing them, so the status does not matter."},
		{Question: 9, Name: absentInvite, Assumed: "success, 404 or 422", Means: "baton-segment reports an error although nothing needs to change.", provision: true},
		{Question: 10, Name: memberAgain, Assumed: "changes nothing, or is refused with 409", Means: "baton-segment reports an error although nothing needs to change.", provision: true},
		{Question: 11, Name: invitedAgain, Assumed: "409 or 422", Means: "An invite could be sent twice, but baton-segment looks for a pending one first."},
		{Question: 12, Name: memberInCase, Assumed: "means the same person or is refused", Means: "One person may be in a group twice: write e-mails as Segment shows them.", provision: true},
		{Question: 15, Name: warehouseScope, Assumed: "refused", Means: "Nothing: baton-segment does not offer it."},
		{Question: 16, Name: takenScopes, Assumed: "those that the first word of the role's name says", Means: "baton-segment offers entitlements that Segment refuses, or does not offer some that it takes. Please report it."},
		{Question: 17, Name: writtenEntries, Assumed: "not done", Means: "Nothing: baton-segment writes one entry for each role and set of labels."},
		{Question: 18, Name: manyResources, Assumed: "refused, or taken whole", Means: "Changing a user or group with a role on more than 200 resources removes some of them: do not provision.", provision: true},
		{Question: 23, Name: attached, Assumed: "Minimal Workspace Access or nothing", Means: "A new group gives its members more than was asked for: do not create groups with baton-segment.", provision: true},
		{Question: 25, Name: danglingSource, Assumed: "404 or 422, or it is kept", Means: "Changing a user or group with a role on a deleted source fails.", provision: true},
		{Question: 28, Name: postedAnswer, Assumed: "not relied on", Means: "Nothing: baton-segment reads what is held."},
		{Question: 29, Name: readsAfterWrites, Assumed: "may lag for up to " + segmentapi.DefaultSettleTime.String(), Means: "baton-segment reports changes as failed although they were made: do not provision.", provision: true},
		{Question: 32, Name: writtenLabels, Assumed: "what was written", Means: "A revocation could widen what is left: do not provision roles on labels.", provision: true},
		{Name: auditDelay, Assumed: "unknown", Means: nothing},
		{Name: auditOrder, Assumed: "newest first", Means: "The first page may not have the newest events: read all pages."},
		{Name: auditTypes, Assumed: "one for each write at most", Means: nothing},
		{Name: auditResources, Assumed: "the holder, or the policy", Means: "If it is not the group's, events cannot tell whose access has changed."},
	}
}

// add adds what a check has seen. Without a case, it has seen nothing.
func (t *trial) add(name, seen string, cases int, holds bool) {
	all := writeChecks()
	c := all[slices.IndexFunc(all, func(c Check) bool { return c.Name == name })]
	c.Seen = seen
	t.results = append(t.results, c.decide(cases, holds))
}

// skip adds checks that cannot be tried, with the reason.
func (t *trial) skip(why string, names ...string) {
	for _, name := range names {
		t.add(name, why, 0, false)
	}
}

// answered returns 1 if all these statuses say something about the request, else 0.
func answered(statuses ...int) int {
	for _, status := range statuses {
		if !isAnswer(status) {
			return 0
		}
	}
	return 1
}

// tryAll tries everything. Memberships come first, while the group gives nothing.
func (t *trial) tryAll(ctx context.Context) error {
	for _, try := range []func(context.Context) error{
		t.tryAttached, t.tryMember, t.tryAbsent, t.tryReplaceWithNothing, t.tryRepeatedPost, t.tryEntries, t.tryScopes, t.tryMany, t.tryDangling, t.tryLabels, t.tryInvite,
	} {
		if err := try(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	seen := fmt.Sprintf("%d writes were read back, the slowest after %s; %d were not within %s", len(t.delays), t.slowest().Round(100*time.Millisecond), t.never, visibleWithin)
	t.add(readsAfterWrites, seen, len(t.delays)+t.never, t.never == 0 && t.slowest() <= segmentapi.DefaultSettleTime)
	return nil
}

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

// replace replaces what the group holds by one permission.
func (t *trial) replace(ctx context.Context, role string, resources ...resource) (int, error) {
	status, _, err := t.permissions(ctx, http.MethodPut, entry{role, resources})
	return status, err
}

// onWorkspace is the workspace as the resource of a permission.
func (t *trial) onWorkspace(labels ...label) resource {
	return resource{t.workspaceID, string(segmentapi.ScopeWorkspace), labels}
}

func onSource(id string) resource { return resource{ID: id, Type: string(segmentapi.ScopeSource)} }

// role returns the id of a role by one of its names, or nothing.
func (t *trial) role(names ...string) string {
	for _, r := range t.roles {
		if slices.Contains(names, strings.TrimSpace(r.Name)) {
			return r.ID
		}
	}
	return ""
}

const (
	unreadable = "the group cannot be read"
	lacksRole  = "the workspace lacks the role or a source"
)

func (t *trial) tryAttached(ctx context.Context) error {
	if !t.wait(ctx, func() bool { _, ok := t.readGroup(ctx); return ok }) {
		t.skip(unreadable, attached)
		return ctx.Err()
	}
	held, ok := t.settled(ctx)
	seen := "nothing"
	switch {
	case !ok:
		seen = unreadable
	case len(held) > 0:
		seen = fmt.Sprintf("%d permissions, the first with %s", len(held), roleText(held[0].RoleName))
	}
	t.add(attached, seen, count(ok), len(held) == 0 || len(held) == 1 && strings.TrimSpace(held[0].RoleName) == segmentapi.RoleMinimalWorkspaceAccess)
	return ctx.Err()
}

func count(there bool) int {
	if there {
		return 1
	}
	return 0
}

// tryMember adds the test address to the group while the group gives nothing, twice and in
// another case, and removes it.
func (t *trial) tryMember(ctx context.Context) error {
	why, err := t.whyNoMember(ctx)
	switch {
	case err != nil:
		return err
	case why != "":
		t.skip(why, memberAgain, memberInCase)
		return nil
	}
	first, err := t.addMember(ctx, t.TestAddress)
	if err != nil {
		return err
	}
	if refused(first) {
		t.skip(fmt.Sprintf("not tried: adding a member was answered with %d", first), memberAgain, memberInCase)
		return nil
	}
	second, err := t.addMember(ctx, t.TestAddress)
	if err != nil {
		return err
	}
	// A read that never shows the member cannot show that it is gone.
	if !t.wait(ctx, func() bool { return t.countMembers(ctx) > 0 }) {
		return t.stillMember(ctx)
	}
	inCase, err := t.addMember(ctx, swapCase(t.TestAddress))
	if err != nil {
		return err
	}
	pause(ctx, t.slowest()+time.Second)
	members := max(t.countMembers(ctx), t.countMembers(ctx)) // Reads may alternate.
	if err = t.checkInvited(ctx); err != nil {
		return err
	}
	t.add(memberAgain, statusText(second), answered(second), second/100 == 2 || second == http.StatusConflict)
	t.add(memberInCase, fmt.Sprintf("%d, and then %d members", inCase, members), answered(inCase)*max(0, members), members == 1)
	return t.removeMember(ctx)
}

func (t *trial) addMember(ctx context.Context, email string) (int, error) {
	status, _, err := t.send(ctx, http.MethodPost, "/groups/"+t.group+"/users", nil, map[string]any{"emails": []string{email}})
	return status, err
}

// whyNoMember returns why nobody is to be added to the group, if so. It makes sure that the
// group gives nothing, and that the test address is still somebody's.
func (t *trial) whyNoMember(ctx context.Context) (string, error) {
	if t.TestAddress == "" {
		return "not tried: give --test-address", nil
	}
	if t.minimal == "" {
		return "not tried: the workspace lacks " + segmentapi.RoleMinimalWorkspaceAccess, nil
	}
	status, err := t.replace(ctx, t.minimal, t.onWorkspace())
	if err != nil {
		return "", err
	}
	if status/100 != 2 {
		return fmt.Sprintf("not tried: giving the group %s only was answered with %d", segmentapi.RoleMinimalWorkspaceAccess, status), nil
	}
	t.wait(ctx, func() bool { return t.holds(ctx, t.minimal, segmentapi.ScopeWorkspace) })
	if held, ok := t.settled(ctx); !ok || len(held) != 1 || held[0].RoleID != t.minimal {
		return "not tried: the group does not show that it gives " + segmentapi.RoleMinimalWorkspaceAccess + " only", ctx.Err()
	}
	known, err := t.people(ctx)
	if err == nil && known[segmentapi.FoldEmail(t.TestAddress)] != t.TestAddress {
		return "not tried: the test address is no user or invite any more", nil
	}
	return "", err
}

// checkInvited looks for an invite of the test address in another case, which only the trial
// can have made.
func (t *trial) checkInvited(ctx context.Context) error {
	inCase := swapCase(t.TestAddress)
	for email, err := range t.client.Invites.All(ctx) {
		if err != nil {
			return err
		}
		if email == inCase && !slices.Contains(t.invites, email) {
			// Deleting it might delete another invite of the same person.
			t.left = append(t.left, fmt.Errorf("%w: the invite of %s, which Segment made when it was added to the group: %s", ErrLeftBehind, inCase, deleteInviteHint))
		}
	}
	return nil
}

const deleteInviteHint = "delete it in Segment under Access Management"

// removeMember takes the test address out of the group. It returns an error unless Segment
// has removed it and the group is seen to be empty, because roles are tried next.
func (t *trial) removeMember(ctx context.Context) error {
	for i, email := range []string{t.TestAddress, swapCase(t.TestAddress)} {
		status, _, err := t.send(ctx, http.MethodDelete, "/group/"+t.group+"/users", url.Values{"emails.0": {email}}, nil)
		switch {
		case err != nil:
			return err
		case i == 0 && status/100 != 2:
			return t.stillMember(ctx)
		}
	}
	if !t.wait(ctx, func() bool { return t.countMembers(ctx) == 0 }) {
		return t.stillMember(ctx)
	}
	return ctx.Err()
}

var errStillMember = errors.New("the test address may still be in the group, so no role is tried on it")

func (t *trial) stillMember(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", errStillMember, t.TestAddress)
}

// swapCase returns an e-mail in another case. It changes A to Z only: other letters in
// another case may make it another person's.
func swapCase(email string) string {
	lower := segmentapi.FoldEmail(email)
	upper := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r + 'A' - 'a'
		}
		return r
	}, lower)
	if upper != email {
		return upper
	}
	return lower
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
	t.add(pluralMembers, fmt.Sprintf("/groups: %d; /group: %d", plural, singular), answered(plural), plural == http.StatusNotFound || plural == http.StatusMethodNotAllowed)
	if _, err = t.client.Users.Get(ctx, t.guard.user); !refused(statusIn(err)) {
		t.skip("not tried: reading such a user was not refused", absentUser)
	} else {
		var status int
		if status, _, err = t.send(ctx, http.MethodDelete, "/users", url.Values{"userIds.0": {t.guard.user}}, nil); err != nil {
			return err
		}
		t.add(absentUser, statusText(status), answered(status), status == http.StatusNotFound || status == http.StatusUnprocessableEntity)
	}
	invite, _, err := t.send(ctx, http.MethodDelete, "/invites", absent, nil)
	if err != nil {
		return err
	}
	known := func(status int) bool {
		return status/100 == 2 || status == http.StatusNotFound || status == http.StatusUnprocessableEntity || status == http.StatusBadRequest
	}
	t.add(absentInvite, fmt.Sprintf("invite: %d; member: %d", invite, singular), answered(invite, singular), known(invite) && known(singular))
	return nil
}

// tryReplaceWithNothing replaces all permissions with an empty list.
func (t *trial) tryReplaceWithNothing(ctx context.Context) error {
	status, _, err := t.permissions(ctx, http.MethodPut)
	if err != nil {
		return err
	}
	held, ok := t.settled(ctx)
	seen := fmt.Sprintf("%d, and then %d permissions", status, len(held))
	if !ok {
		seen = fmt.Sprintf("%d, and then %s", status, unreadable)
	}
	t.add(replacedWithNone, seen, answered(status)*count(ok), refused(status) || len(held) <= 1)
	return ctx.Err()
}

// tryRepeatedPost posts a role on the workspace, then the same role on a source.
func (t *trial) tryRepeatedPost(ctx context.Context) error {
	role, source := t.role(segmentapi.RoleSourceReadOnly), t.anyID(segmentapi.ScopeSource)
	if role == "" || source == "" {
		t.skip(lacksRole, postedAgain, postedAnswer)
		return nil
	}
	first, _, err := t.permissions(ctx, http.MethodPost, entry{role, []resource{t.onWorkspace()}})
	if err != nil {
		return err
	}
	if first/100 != 2 {
		t.skip(fmt.Sprintf("posting the role was answered with %d", first), postedAgain, postedAnswer)
		return nil
	}
	t.wait(ctx, func() bool { return t.holds(ctx, role, segmentapi.ScopeWorkspace) })
	before, ok := t.settled(ctx)
	second, body, err := t.permissions(ctx, http.MethodPost, entry{role, []resource{onSource(source)}})
	if err != nil {
		return err
	}
	if second/100 == 2 {
		t.wait(ctx, func() bool { return t.holds(ctx, role, segmentapi.ScopeSource) })
	}
	after, okAfter := t.settled(ctx)
	cases := answered(second) * count(ok && okAfter)
	lost := len(segmentapi.Compare(before, after).Removed)
	seen := fmt.Sprintf("%d and %d; before it the group held %d, after it %d, and %d were lost", first, second, len(before), len(after), lost)
	t.add(postedAgain, seen, cases, lost == 0 && (refused(second) || len(after) == len(before)+1))
	var answer struct {
		Data struct {
			Permissions []struct {
				Resources []json.RawMessage `json:"resources"`
			} `json:"permissions"`
		} `json:"data"`
	}
	n := 0
	if json.Unmarshal(body, &answer) != nil {
		cases = 0
	}
	for _, p := range answer.Data.Permissions {
		n += len(p.Resources)
	}
	t.add(postedAnswer, fmt.Sprintf("%d in the answer, %d held", n, len(after)), cases, true)
	return ctx.Err()
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
	held, _ := t.readGroup(ctx)
	return slices.ContainsFunc(held, func(a segmentapi.Assignment) bool { return a.RoleID == role && a.Scope.Type == scope })
}

// tryEntries writes one role in two entries, and two types in one entry.
func (t *trial) tryEntries(ctx context.Context) error {
	role, source := t.role(segmentapi.RoleSourceReadOnly), t.anyID(segmentapi.ScopeSource)
	if role == "" || source == "" {
		t.skip(lacksRole, writtenEntries)
		return nil
	}
	twice, _, err := t.permissions(ctx, http.MethodPut, entry{role, []resource{t.onWorkspace()}}, entry{role, []resource{onSource(source)}})
	if err != nil {
		return err
	}
	mixed, err := t.replace(ctx, role, t.onWorkspace(), onSource(source))
	if err != nil {
		return err
	}
	t.add(writtenEntries, fmt.Sprintf("two entries: %d; two types: %d", twice, mixed), answered(twice, mixed), true)
	return nil
}

// tryScopes writes a role of each family on a resource of each type.
func (t *trial) tryScopes(ctx context.Context) error {
	var taken, wrong []string
	cases, warehouse := 0, 0
	for _, names := range [][]string{{segmentapi.RoleSourceReadOnly}, {"Function Read-only", "Functions Read-only"}, {"Warehouse Destination Read-only", "Warehouse Read-only"}, {"Unify and Engage Read-only"}} {
		role := t.role(names...)
		for _, typeID := range []string{access.TypeSource, access.TypeFunction, access.TypeWarehouse, access.TypeSpace} {
			scope, _ := access.ScopeOf(typeID)
			id := t.anyID(scope)
			if role == "" || id == "" {
				continue
			}
			status, err := t.replace(ctx, role, resource{ID: id, Type: string(scope)})
			if err != nil {
				return err
			}
			if !isAnswer(status) {
				continue
			}
			accepted, applies := status/100 == 2, access.Applies(names[0], typeID)
			if accepted {
				taken = append(taken, names[0]+" on "+typeID)
			}
			if applies && typeID == access.TypeWarehouse { // Question 15.
				warehouse = status
				continue
			}
			cases++
			if accepted != applies {
				wrong = append(wrong, fmt.Sprintf("%s on %s: %d", names[0], typeID, status))
			}
		}
	}
	seen := "the workspace lacks a warehouse or the role"
	if warehouse != 0 {
		seen = statusText(warehouse)
	}
	t.add(warehouseScope, seen, warehouse, warehouse/100 == 4)
	t.add(takenScopes, fmt.Sprintf("of %d: taken: %s; otherwise than assumed: %s", cases, cmp.Or(strings.Join(taken, ", "), "none"), cmp.Or(strings.Join(wrong, ", "), "none")), cases, len(wrong) == 0)
	return nil
}

// documentedCount is how many resources one permission may have for certain.
const documentedCount = 200

// tryMany writes a role on one source more than is known to be taken.
func (t *trial) tryMany(ctx context.Context) error {
	role, ids := t.role(segmentapi.RoleSourceReadOnly), t.listed[segmentapi.ScopeSource]
	if role == "" || len(ids) <= documentedCount {
		t.skip(fmt.Sprintf("the workspace lacks the role or more than %d sources", documentedCount), manyResources)
		return nil
	}
	var many []resource
	for id := range ids {
		if len(many) <= documentedCount {
			many = append(many, onSource(id))
		}
	}
	status, err := t.replace(ctx, role, many...)
	if err != nil {
		return err
	}
	held, ok := t.settled(ctx)
	onSources := 0
	for _, a := range held {
		onSources += count(a.Scope.Type == segmentapi.ScopeSource)
	}
	seen := fmt.Sprintf("%d of them: %d, and then %d are held", len(many), status, onSources)
	t.add(manyResources, seen, answered(status)*count(ok), refused(status) || onSources == len(many))
	return ctx.Err()
}

// tryDangling writes a role on a source that does not exist.
func (t *trial) tryDangling(ctx context.Context) error {
	role := t.role(segmentapi.RoleSourceReadOnly)
	if role == "" {
		t.skip("the workspace lacks the role", danglingSource)
		return nil
	}
	status, err := t.replace(ctx, role, onSource(t.guard.user))
	if err != nil {
		return err
	}
	t.add(danglingSource, statusText(status), answered(status), status/100 == 2 || status == http.StatusNotFound || status == http.StatusUnprocessableEntity || status == http.StatusBadRequest)
	return nil
}

// tryLabels writes a role on a label and compares what is read with what was written.
func (t *trial) tryLabels(ctx context.Context) error {
	role := t.role(segmentapi.RoleSourceReadOnly)
	if len(t.labels) == 0 || role == "" || t.minimal == "" {
		t.skip("the workspace lacks the roles or a label", writtenLabels)
		return nil
	}
	on := t.onWorkspace(label{t.labels[0].Key, t.labels[0].Value})
	want := segmentapi.Assignment{RoleID: role, Scope: segmentapi.Scope{Type: segmentapi.ScopeWorkspace, ID: on.ID, Labels: t.labels[:1]}}
	same, cases := true, 0
	var seen []string
	for _, method := range []string{http.MethodPut, http.MethodPost} {
		// Neither must find the role.
		status, err := t.replace(ctx, t.minimal, t.onWorkspace())
		if err != nil {
			return err
		}
		if status/100 != 2 {
			seen = append(seen, fmt.Sprintf("%s: not tried, because of %d", method, status))
			continue
		}
		t.wait(ctx, func() bool { return t.holds(ctx, t.minimal, segmentapi.ScopeWorkspace) })
		if status, _, err = t.permissions(ctx, method, entry{role, []resource{on}}); err != nil {
			return err
		}
		if status/100 != 2 {
			seen = append(seen, fmt.Sprintf("%s: %d", method, status))
			continue
		}
		t.wait(ctx, func() bool { return t.holds(ctx, role, segmentapi.ScopeWorkspace) })
		held, ok := t.settled(ctx)
		held = slices.DeleteFunc(held, func(a segmentapi.Assignment) bool { return a.RoleID != role })
		difference := segmentapi.Compare([]segmentapi.Assignment{want}, held)
		cases += count(ok)
		same = same && (!ok || difference.Empty())
		seen = append(seen, fmt.Sprintf("%s: %d, %d of 1 missing, %d others", method, status, len(difference.Removed), len(difference.Added)))
	}
	t.add(writtenLabels, strings.Join(seen, "; "), cases, same)
	return ctx.Err()
}

// tryInvite invites an address twice and deletes the invite. Sending it is not interrupted, so
// that it is known whether there is one.
func (t *trial) tryInvite(ctx context.Context) error {
	if t.Invite == "" {
		t.skip("not tried: give --invite", invitedAgain)
		return nil
	}
	if t.minimal == "" {
		t.skip("not tried: the workspace lacks "+segmentapi.RoleMinimalWorkspaceAccess, invitedAgain)
		return nil
	}
	// An invite that somebody else has made meanwhile must not be deleted.
	known, err := t.people(ctx)
	if err != nil {
		return err
	}
	if known[segmentapi.FoldEmail(t.Invite)] != "" {
		t.skip("not tried: somebody else has invited the address meanwhile", invitedAgain)
		return nil
	}
	whole, cancel := uninterrupted(ctx)
	defer cancel()
	t.Log("inviting %s", t.Invite)
	first, err := t.sendInvite(whole)
	if err == nil && refused(first) {
		t.skip(fmt.Sprintf("the first invite was answered with %d", first), invitedAgain)
		return nil
	}
	second := 0
	if err == nil && ctx.Err() == nil {
		if second, err = t.sendInvite(whole); err == nil {
			t.add(invitedAgain, fmt.Sprintf("%d, then %d", first, second), answered(first, second), second == http.StatusConflict || second == http.StatusUnprocessableEntity)
		}
	}
	t.deleteInvite(ctx)
	return err
}

func (t *trial) sendInvite(ctx context.Context) (int, error) {
	body := map[string]any{"invites": []map[string]any{{"email": t.Invite, "permissions": []map[string]string{{"roleId": t.minimal}}}}}
	status, _, err := t.send(ctx, http.MethodPost, "/invites", nil, body)
	return status, err
}

// deleteInvite deletes the invite that the trial made, even if the context is done.
func (t *trial) deleteInvite(ctx context.Context) {
	if ctx.Err() != nil {
		t.Log("interrupted: deleting the invite of %s. Another interruption leaves it behind", t.Invite)
	}
	cleanup, cancel := uninterrupted(ctx)
	defer cancel()
	status, err := t.remove(cleanup, "/invites", url.Values{"emails.0": {t.Invite}}, false)
	gone := func() bool {
		for email, err := range t.client.Invites.All(cleanup) {
			if err != nil || segmentapi.FoldEmail(email) == segmentapi.FoldEmail(t.Invite) {
				return false
			}
		}
		return true
	}
	if err == nil && (status/100 == 2 || status == http.StatusNotFound) && t.poll(cleanup, gone) {
		t.Log("deleted the invite of %s", t.Invite)
		return
	}
	t.left = append(t.left, fmt.Errorf("%w: the invite of %s: %s (%s)", ErrLeftBehind, t.Invite, deleteInviteHint, answerText("deleting it", status, err)))
}
