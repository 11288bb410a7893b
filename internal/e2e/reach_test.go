package e2e

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/conductorone/baton-sdk/pkg/dotc1z/c1zstore"
	sdksync "github.com/conductorone/baton-sdk/pkg/sync"
	"pgregory.net/rapid"

	"github.com/baton-segment/baton-segment/connector/syncfile"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// A reachOracle answers who reaches what by going through the state of the simulator,
// person by person and permission by permission.
type reachOracle struct{ *oracle }

// A way is one way in which a person holds a role, as text:
// person, role, what it is held on, and the group, if there is one.
type way struct {
	person, group string
	target
}

func (w way) String() string {
	on := w.on + ":" + w.id
	if w.on == typeRole {
		on = "everything"
	}
	return fmt.Sprintf("%s %s %q %s via %q", w.person, w.roleID(), firstNonBlank(w.role, w.roleID()), on, w.group)
}

func (w way) roleID() string {
	if w.on == typeRole {
		return w.id
	}
	return w.slug
}

func newReachOracle(ws *sim.Workspace) reachOracle {
	o := newOracle(ws, builtTypes())
	o.list()
	return reachOracle{o}
}

// people returns all users, and the invites that are nobody's yet.
func (o reachOracle) people() []string {
	var people []string
	for key, r := range o.resources {
		if r.Type == typeUser || r.Type == typeInvite {
			people = append(people, key)
		}
	}
	slices.Sort(people)
	return people
}

// ways returns all ways of one person to hold a role.
func (o reachOracle) ways(person string) []way {
	var ways []way
	for _, u := range o.ws.Users {
		if typeUser+":"+u.ID == person {
			for _, t := range o.targets(u.Permissions) {
				ways = append(ways, way{person: person, target: t})
			}
		}
	}
	for _, g := range o.ws.Groups {
		if !slices.Contains(o.members(g), person) {
			continue
		}
		for _, t := range o.targets(g.Permissions) {
			ways = append(ways, way{person: person, group: g.ID, target: t})
		}
	}
	return ways
}

// when returns the condition under which a way leads to a resource, or nothing.
func (o reachOracle) when(w way, r resource) string {
	if !slices.Contains([]string{typeSource, typeFunction, typeSpace, typeWarehouse}, r.Type) {
		return ""
	}
	all := w.role == "Workspace Owner" || slices.Contains(scopesOf(w.role), r.Type)
	ok, condition := false, "now"
	switch {
	case w.on == typeRole:
		ok = all
	case w.on == typeLabel && r.Type == typeSource:
		carried, _ := r.Profile["labels"].([]any)
		ok = all
		for _, id := range labelIDs(w.labels) {
			ok = ok && slices.Contains(carried, any(id))
		}
	case w.on == typeLabel && r.Type == typeSpace:
		ok, condition = all, "if labeled"
	default:
		ok = w.on == r.Type && w.id == r.ID
	}
	switch {
	case !ok:
		return ""
	case condition == "now" && strings.HasPrefix(w.person, typeInvite+":"):
		return "accepted"
	}
	return condition
}

// who returns the ways of all people to a resource, with their conditions.
func (o reachOracle) who(r resource) []string {
	var found []string
	for _, person := range o.people() {
		for _, w := range o.ways(person) {
			if when := o.when(w, r); when != "" {
				found = append(found, w.String()+" "+when)
			}
		}
	}
	return distinct(found)
}

// holders returns the ways of all people that match.
func (o reachOracle) holders(match func(way) bool) []string {
	var found []string
	for _, person := range o.people() {
		for _, w := range o.ways(person) {
			if match(w) {
				found = append(found, w.String()+" "+heldWhen(person))
			}
		}
	}
	return distinct(found)
}

func heldWhen(person string) string {
	if strings.HasPrefix(person, typeInvite+":") {
		return "accepted"
	}
	return "now"
}

// what returns the ways of one person, each with the number of resources that it leads
// to, by type and condition.
func (o reachOracle) what(person string) []string {
	var found []string
	for _, w := range o.ways(person) {
		found = append(found, o.reaching(w)...)
	}
	return distinct(found)
}

func distinct(texts []string) []string {
	slices.Sort(texts)
	return slices.Compact(texts)
}

// pathTexts returns paths in the words of the oracle.
func pathTexts(paths []access.Path, counts bool) []string {
	var texts []string
	for _, p := range paths {
		w := way{person: p.Person.Type + ":" + p.Person.ID, target: target{on: p.HeldOn.Type, id: p.HeldOn.ID, slug: p.Role.ID, role: p.Role.Name}}
		if p.HeldOn.Type == typeWorkspace {
			w.on, w.id = typeRole, p.Role.ID
		}
		if p.Group != nil {
			w.group = p.Group.ID
		}
		text := fmt.Sprintf("%s %s", w, p.When)
		if counts {
			text += fmt.Sprintf(" %v", p.Reaches)
		}
		texts = append(texts, text)
	}
	slices.Sort(texts)
	return texts
}

// For any workspace, every answer about every person and every thing is that of the
// oracle: from a file of either engine, and from the workspace itself.
func TestAnyWorkspaceReach(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cases := 0
	rapid.Check(t, func(t *rapid.T) {
		ws := drawWorkspace(t)
		t.Logf("the workspace:\n%s", describe(ws))
		engine := rapid.SampledFrom([]c1zstore.Engine{c1zstore.EnginePebble, c1zstore.EngineSQLite}).Draw(t, "engine")
		cases++
		checkReach(t, ws, filepath.Join(dir, fmt.Sprintf("%d.c1z", cases)), engine)
	})
	t.Logf("%d workspaces", cases)
}

// The same for the workspaces that the simulator has.
func TestInProcess_Reach(t *testing.T) {
	t.Parallel()
	for name, ws := range workspaces() {
		for _, engine := range []c1zstore.Engine{c1zstore.EnginePebble, c1zstore.EngineSQLite} {
			t.Run(name+"/"+string(engine), func(t *testing.T) {
				t.Parallel()
				checkReach(t, ws, filepath.Join(t.TempDir(), "sync.c1z"), engine)
			})
		}
	}
}

func checkReach(t testingT, ws *sim.Workspace, file string, engine c1zstore.Engine) {
	t.Helper()
	s := serve(t, ws)
	client, err := segmentapi.New(s.Token(), segmentapi.WithBaseURL(s.URL))
	if err != nil {
		t.Fatal(err)
	}
	live, err := access.Read(t.Context(), client, access.ReadOptions{})
	if seesNoOwner(ws, builtTypes()) {
		if !errors.Is(err, access.ErrNoOwner) {
			t.Errorf("reading a workspace without an owner returns %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	syncInProcess(t, s, file, 0, sdksync.WithStorageEngine(engine))
	fromFile, err := syncfile.Read(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	o := newReachOracle(ws)
	checkAnswers(t, "file", o, fromFile)
	checkAnswers(t, "live", o, live)
}

func checkAnswers(t testingT, from string, o reachOracle, s *access.Snapshot) {
	t.Helper()
	check := func(what string, want, got []string) {
		t.Helper()
		checkTexts(t, from+": "+what, want, got)
	}
	for _, on := range o.allTargets() {
		o.addUnlisted(on)
	}
	for _, r := range o.resources {
		switch r.Type {
		case typeSource, typeFunction, typeSpace, typeWarehouse:
			check("who "+r.Type+" "+r.ID, o.who(r), pathTexts(s.Who(access.Thing{Type: r.Type, ID: r.ID}), false))
		case typeRole:
			check("who role "+r.ID, o.holders(func(w way) bool { return w.roleID() == r.ID }), pathTexts(s.Who(access.Thing{Type: r.Type, ID: r.ID}), false))
		case typeLabel:
			check("who label "+r.ID, o.holders(func(w way) bool { return w.on == typeLabel && w.id == r.ID }), pathTexts(s.Who(access.Thing{Type: r.Type, ID: r.ID}), false))
		}
	}
	check("owners", o.holders(way.owns), pathTexts(s.Owners(), false))
	for _, g := range o.ws.Groups {
		var want []string
		for _, member := range o.members(g) {
			want = append(want, fmt.Sprintf("%s member \"Member\" group:%s via \"\" %s", member, g.ID, heldWhen(member)))
		}
		check("who group "+g.ID, distinct(want), pathTexts(s.Who(access.Thing{Type: typeGroup, ID: g.ID}), false))
	}
	var people []string
	for _, p := range s.People {
		person := p.Type + ":" + p.ID
		people = append(people, person)
		_, paths := s.What(p.Ref())
		check("what "+person, o.what(person), pathTexts(paths, true))
	}
	slices.Sort(people)
	check("people", o.people(), people)
	checkOverview(t, from, o, s.Index())
	checkGroups(t, from, o, s.Index())
}
