package segmentapi_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// A lineSet is what a user or a group holds: strings such as "role-admin WORKSPACE ws
// env=prod". The oracle of the model tests knows nothing else.
type lineSet map[string]bool

func setOf(lines ...string) lineSet {
	set := lineSet{}
	for _, line := range lines {
		set[line] = true
	}
	return set
}

func (s lineSet) lines() []string { return slices.Sorted(maps.Keys(s)) }

func (s lineSet) without(taken func(line string) bool) lineSet {
	left := maps.Clone(s)
	maps.DeleteFunc(left, func(line string, _ bool) bool { return taken(line) })
	return left
}

const minimalLine = minimal + " " + wholeWorkspace

// modelResources are what roles are held on in the model test.
var modelResources = []string{
	"SOURCE a", "SOURCE b", "SOURCE c", "SPACE bare", wholeWorkspace, wholeWorkspace + " env=prod", wholeWorkspace + " env=dev",
	wholeWorkspace + " env=prod team=growth", wholeWorkspace + " team=growth",
}

func drawLine(t *rapid.T) string {
	role := rapid.SampledFrom([]string{admin, reader, minimal}).Draw(t, "role")
	return role + " " + rapid.SampledFrom(modelResources).Draw(t, "on")
}

// drawHeldLine prefers a line that is held.
func drawHeldLine(t *rapid.T, held lineSet) string {
	if len(held) > 0 && rapid.IntRange(0, 3).Draw(t, "held") > 0 {
		return rapid.SampledFrom(held.lines()).Draw(t, "line")
	}
	return drawLine(t)
}

func fromLine(line string) segmentapi.Assignment {
	role, resource, _ := strings.Cut(line, " ")
	return assigned(role, resource)
}

func fromLines(lines ...string) []segmentapi.Assignment {
	var all []segmentapi.Assignment
	for _, line := range lines {
		all = append(all, fromLine(line))
	}
	return all
}

// lineOf is the inverse of fromLine.
func lineOf(a segmentapi.Assignment) string {
	var labels []string
	for _, l := range a.Scope.Labels {
		labels = append(labels, l.Key+"="+l.Value)
	}
	slices.Sort(labels)
	return strings.Join(slices.Concat([]string{a.RoleID, string(a.Scope.Type), a.Scope.ID}, labels), " ")
}

func roleOf(line string) string {
	role, _, _ := strings.Cut(line, " ")
	return role
}

// mayBeWider reports whether line is the role of another line on the workspace, so that
// it looks as if Segment had dropped the other's scope or labels.
func mayBeWider(line, than string) bool {
	return strings.HasPrefix(line, roleOf(than)+" "+wholeWorkspace)
}

// names reports whether an error names a line, by the role's id or name, and with the
// labels in any order.
func names(err error, line string) bool {
	a := fromLine(line)
	for _, name := range []string{"", map[string]string{admin: "Source Admin", reader: "Source Read-only", minimal: "Minimal Workspace Access"}[a.RoleID]} {
		a.RoleName = name
		for range 2 {
			slices.Reverse(a.Scope.Labels)
			if strings.Contains(err.Error(), a.String()) {
				return true
			}
		}
	}
	return false
}

// addLine and dropLine are another administrator's edits of the workspace.
func addLine(held []sim.Permission, line string) []sim.Permission {
	role, resource, _ := strings.Cut(line, " ")
	return append(slices.Clone(held), on(role, resource)) // A role may be there twice.
}

func dropLine(held []sim.Permission, line string) []sim.Permission {
	var left []sim.Permission
	for _, p := range held {
		kept := sim.Permission{RoleID: p.RoleID}
		for _, r := range p.Resources {
			ws := &sim.Workspace{Users: []sim.User{{ID: "x", Permissions: []sim.Permission{{RoleID: p.RoleID, Resources: []sim.Resource{r}}}}}}
			if holds(ws, "x")[0] != line {
				kept.Resources = append(kept.Resources, r)
			}
		}
		if len(kept.Resources) > 0 {
			left = append(left, kept)
		}
	}
	return left
}

// A modelChange is a change of one line by somebody: a process, or an administrator.
type modelChange struct {
	by    string
	at    time.Time
	takes bool
}

// byHand is who makes the changes of another administrator.
const byHand = "an administrator"

// A model is what each subject holds, and who changed which line last.
type model struct {
	held    map[string]lineSet
	changes map[string]map[string]modelChange
}

func newModel(ws *sim.Workspace, ids ...string) *model {
	m := &model{map[string]lineSet{}, map[string]map[string]modelChange{}}
	for _, id := range ids {
		m.held[id] = setOf(holds(ws, id)...)
		m.changes[id] = map[string]modelChange{}
	}
	return m
}

// note notes who has changed a line, just now.
func (m *model) note(id, line, by string, takes bool) {
	m.changes[id][line] = modelChange{by, time.Now(), takes}
}

// adopt makes held the state of a subject, as changed by a process that was asked for
// something. The process knows nothing of other changes that it has made, such as lines that it
// has overwritten, nor of lines that others have changed so recently that reads need not show it.
func (m *model) adopt(id string, held, asked lineSet, recent map[string]modelChange, by string) {
	for line := range differing(m.held[id], held) {
		knows := by
		if _, ok := recent[line]; ok || held[line] != asked[line] {
			knows = byHand
		}
		m.note(id, line, knows, !held[line])
	}
	m.held[id] = held
}

// changedByOthers returns the lines that others than a process have changed since.
func (m *model) changedByOthers(id, process string, since time.Time) map[string]modelChange {
	changed := maps.Clone(m.changes[id])
	maps.DeleteFunc(changed, func(_ string, c modelChange) bool { return c.by == process || !c.at.After(since) })
	return changed
}

// differing returns the lines that only one of two sets has.
func differing(a, b lineSet) lineSet {
	return union(a, b).without(func(line string) bool { return a[line] == b[line] })
}

func union(a, b lineSet) lineSet {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// A verdict is what a subject may hold after an edit.
type verdict struct {
	before, asked lineSet
	// open are the lines of which the edit can know nothing, such as those that an
	// administrator has changed so shortly before that reads do not show it.
	open func(line string) bool
	// sure is set if the edit has no reason to fail.
	sure bool
	// harmful is set if the server stores something else than is written.
	harmful bool
}

// isCovered reports that a server which drops labels has dropped those of a line, where
// the role is held on the workspace as well, so that nobody has more or less than before.
// Minimal Workspace Access reaches nothing, with labels or without.
func (v verdict) isCovered(held lineSet, line string) bool {
	wider := roleOf(line) + " " + wholeWorkspace
	return v.harmful && mayBeWider(line, line) && (wider == minimalLine || held[wider] && (v.before[wider] || v.asked[wider]))
}

// judge returns what is wrong with the state after an edit that returned err.
func (v verdict) judge(held lineSet, err error) []string {
	var wrong []string
	differs := func(want lineSet) []string {
		var lines []string
		for line := range differing(want, held) {
			if !v.open(line) && !v.isCovered(held, line) {
				lines = append(lines, line)
			}
		}
		return lines
	}
	switch {
	case err == nil || errors.Is(err, segmentapi.ErrUnconfirmed) && !v.harmful:
		for _, line := range differs(v.asked) {
			wrong = append(wrong, "not as asked: "+line)
		}
	case errors.Is(err, segmentapi.ErrNotRestored) || v.harmful:
		for line := range union(union(v.asked, held), v.before) {
			more, less := held[line] && !v.before[line] && !v.asked[line], !held[line] && v.before[line] && v.asked[line]
			named := errors.Is(err, segmentapi.ErrNotRestored) && names(err, line)
			if (more || less) && !v.open(line) && !v.isCovered(held, line) && !named {
				wrong = append(wrong, "changed, and not named by the error: "+line)
			}
		}
	case len(differs(v.asked)) > 0 && len(differs(v.before)) > 0:
		for _, line := range differs(v.before) {
			wrong = append(wrong, "neither as before nor as asked: "+line)
		}
	}
	if err != nil && v.sure {
		wrong = append(wrong, "no reason to fail")
	}
	slices.Sort(wrong)
	return wrong
}
