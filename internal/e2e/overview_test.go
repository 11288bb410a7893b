package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// checkOverview checks the figures and lists that a review starts from.
func checkOverview(t testingT, from string, o reachOracle, x *access.Index) {
	t.Helper()
	v := x.Overview()
	checkTexts(t, from+": owners", o.holders(way.owns), pathTexts(v.Owners, false))
	checkTexts(t, from+": PII", o.holders(func(w way) bool { return w.owns() || strings.TrimSpace(w.role) == "PII Access" }), pathTexts(v.PII, false))
	checkTexts(t, from+": everything", o.eachWay(o.everything), pathTexts(v.Everything, true))
	checkTexts(t, from+": by name", o.eachWay(o.byName), pathTexts(v.ByName, true))
	checkTexts(t, from+": invites", o.peopleWhere(isInvite), peopleTexts(v.Invites))
	checkTexts(t, from+": ungrouped", o.peopleWhere(func(person string) bool { return len(o.groupsOf(person)) == 0 }), peopleTexts(v.Ungrouped))
	checkTexts(t, from+": empty groups", o.emptyGroups(), thingTexts(v.EmptyGroups))
	checkTexts(t, from+": unheld roles", o.unheldRoles(), thingTexts(v.UnheldRoles))
	checkTexts(t, from+": label sets", o.heldOn(func(on target) bool { return on.on == typeLabel }), thingTexts(v.LabelSets))
	checkTexts(t, from+": unlisted", o.heldOn(o.isUnlisted), thingTexts(v.Unlisted))
	checkOrder(t, from, v)
}

// checkGroups checks what each group gives and which groups each person is in.
func checkGroups(t testingT, from string, o reachOracle, x *access.Index) {
	t.Helper()
	for _, g := range o.ws.Groups {
		var want []string
		for _, on := range o.targets(g.Permissions) {
			want = append(want, o.reaching(way{person: ":", group: g.ID, target: on})...)
		}
		checkTexts(t, from+": group "+g.ID+" holds", distinct(want), pathTexts(x.GroupHolds(g.ID), true))
	}
	if paths := x.GroupHolds("no such group"); len(paths) > 0 {
		t.Errorf("%s: a group that does not exist holds %v", from, paths)
	}
	for _, p := range x.People {
		var got []string
		for _, g := range x.GroupsOf(p.Ref()) {
			got = append(got, g.ID)
		}
		slices.Sort(got)
		checkTexts(t, from+": groups of "+p.Type+" "+p.ID, o.groupsOf(p.Type+":"+p.ID), got)
	}
}

// checkOrder checks that lists are sorted, without repeats, and never nil.
func checkOrder(t testingT, from string, v access.Overview) {
	t.Helper()
	for name, paths := range map[string][]access.Path{"owners": v.Owners, "PII": v.PII, "everything": v.Everything, "by name": v.ByName} {
		if paths == nil || !slices.IsSortedFunc(paths, func(a, b access.Path) int {
			return cmp.Or(byName(a.Person, b.Person), strings.Compare(a.Role.Name, b.Role.Name))
		}) {
			t.Errorf("%s: %s are not sorted: %v", from, name, paths)
		}
	}
	for name, people := range map[string][]access.Person{"invites": v.Invites, "ungrouped": v.Ungrouped} {
		if people == nil || !slices.IsSortedFunc(people, byName) {
			t.Errorf("%s: %s are not sorted: %v", from, name, people)
		}
	}
	for name, things := range map[string][]access.Thing{"empty groups": v.EmptyGroups, "unheld roles": v.UnheldRoles, "label sets": v.LabelSets, "unlisted": v.Unlisted} {
		if things == nil || !slices.IsSortedFunc(things, func(a, b access.Thing) int {
			return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
		}) {
			t.Errorf("%s: %s are not sorted: %v", from, name, things)
		}
	}
}

func byName(a, b access.Person) int {
	return cmp.Or(strings.Compare(cmp.Or(a.Name, a.Email, a.ID), cmp.Or(b.Name, b.Email, b.ID)), strings.Compare(a.ID, b.ID))
}

// checkTexts compares sorted texts. A text that is there twice is an error.
func checkTexts(t testingT, what string, want, got []string) {
	t.Helper()
	if diff := gocmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func peopleTexts(people []access.Person) []string {
	var texts []string
	for _, p := range people {
		texts = append(texts, p.Type+":"+p.ID)
	}
	slices.Sort(texts)
	return texts
}

func thingTexts(things []access.Thing) []string {
	var texts []string
	for _, t := range things {
		texts = append(texts, t.Type+":"+t.ID)
	}
	slices.Sort(texts)
	return texts
}

func isInvite(person string) bool { return strings.HasPrefix(person, typeInvite+":") }

// owns reports whether a way is to the ownership of the workspace.
func (w way) owns() bool { return w.on == typeRole && w.role == ownerName }

// eachWay returns what a function says of the ways of all people.
func (o reachOracle) eachWay(say func(way) []string) []string {
	var texts []string
	for _, person := range o.people() {
		for _, w := range o.ways(person) {
			texts = append(texts, say(w)...)
		}
	}
	return distinct(texts)
}

// everything describes a way that leads to all resources of some type.
func (o reachOracle) everything(w way) []string {
	reached := []string{typeSource, typeFunction, typeSpace, typeWarehouse}
	isFor := func(typeID string) bool { return slices.Contains(scopesOf(w.role), typeID) }
	if !w.owns() && (w.on != typeRole || !slices.ContainsFunc(reached, isFor)) {
		return nil
	}
	return o.reaching(w)
}

// byName describes a way if it includes resources because of the name of its role.
func (o reachOracle) byName(w way) []string {
	if w.role == ownerName || w.on != typeRole && w.on != typeLabel || len(o.counts(w)) == 0 {
		return nil
	}
	return o.reaching(w)
}

func (o reachOracle) peopleWhere(is func(string) bool) []string {
	return slices.DeleteFunc(o.people(), func(person string) bool { return !is(person) })
}

// groupsOf returns the ids of the groups of a person.
func (o reachOracle) groupsOf(person string) []string {
	var groups []string
	for _, g := range o.ws.Groups {
		if slices.Contains(o.members(g), person) {
			groups = append(groups, g.ID)
		}
	}
	return distinct(groups)
}

func (o reachOracle) emptyGroups() []string {
	var groups []string
	for _, g := range o.ws.Groups {
		if len(o.members(g)) == 0 {
			groups = append(groups, typeGroup+":"+g.ID)
		}
	}
	return distinct(groups)
}

// allTargets returns what users and groups hold. A group without members counts.
func (o reachOracle) allTargets() []target {
	var all []target
	for _, u := range o.ws.Users {
		all = append(all, o.targets(u.Permissions)...)
	}
	for _, g := range o.ws.Groups {
		all = append(all, o.targets(g.Permissions)...)
	}
	return all
}

// heldOn returns what a role is held on, if it matches.
func (o reachOracle) heldOn(is func(target) bool) []string {
	found := map[string]bool{}
	for _, on := range o.allTargets() {
		if is(on) {
			found[on.on+":"+on.id] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// isUnlisted reports whether a role is held on a resource that no list has.
func (o reachOracle) isUnlisted(on target) bool {
	if on.on == typeRole || on.on == typeLabel {
		return false
	}
	r, known := o.resources[on.on+":"+on.id]
	return !known || r.Profile["listed"] == false
}

func (o reachOracle) unheldRoles() []string {
	held := map[string]bool{}
	for _, on := range o.allTargets() {
		held[way{target: on}.roleID()] = true
	}
	var unheld []string
	for _, r := range o.ws.Roles {
		if !held[r.ID] {
			unheld = append(unheld, typeRole+":"+r.ID)
		}
	}
	return distinct(unheld)
}

// counts returns how many listed resources a way leads to, by condition and type.
func (o reachOracle) counts(w way) map[string]map[string]int {
	counts := map[string]map[string]int{}
	for _, r := range o.resources {
		if when := o.when(w, r); when != "" && r.Profile["listed"] == nil {
			if counts[when] == nil {
				counts[when] = map[string]int{}
			}
			counts[when][r.Type]++
		}
	}
	return counts
}

// reaching describes a way with what it leads to: once for each condition.
func (o reachOracle) reaching(w way) []string {
	counts := o.counts(w)
	if w.on != typeRole && w.on != typeLabel || len(counts) == 0 {
		return []string{w.String() + " " + heldWhen(w.person) + " map[]"}
	}
	var texts []string
	for when, n := range counts {
		texts = append(texts, fmt.Sprintf("%s %s %v", w, when, n))
	}
	return texts
}
