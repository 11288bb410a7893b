package page

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/wording"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// thing returns the page of a person, group, role, label or resource, or false if the
// workspace has none.
func (s *Site) thing(w *workspace, ref access.Ref, whole bool) (document, bool) {
	d := document{Address: w.address(ref.Type, ref.ID), Kind: ref.Type}
	if s.several() {
		d.Facts = append(d.Facts, fact{"Workspace", []cell{w.nameCell()}})
	}
	known := false
	switch ref.Type {
	case access.TypeUser, access.TypeInvite:
		known = s.person(&d, w, ref)
	case access.TypeGroup:
		known = s.group(&d, w, ref.ID)
	case access.TypeRole, access.TypeLabel:
		known = s.roleOrLabel(&d, w, ref)
	case access.TypeSource, access.TypeSpace, access.TypeFunction, access.TypeWarehouse:
		known = s.resource(&d, w, ref, whole)
	}
	return d, known
}

func (s *Site) person(d *document, w *workspace, ref access.Ref) bool {
	p, paths := w.What(ref)
	if p.ID == "" {
		return false
	}
	d.Title = cmp.Or(p.Name, p.Email, p.ID)
	d.Facts = append(d.Facts, fact{"E-mail", []cell{plainCell(cmp.Or(p.Email, "none"))}}, fact{"Id", []cell{plainCell(p.ID)}})
	d.Facts = append(d.Facts, w.groupsFact(w.GroupsOf(ref)))
	if others := s.sameEmail(w, p); len(others) > 0 {
		d.Facts = append(d.Facts, fact{"The same e-mail in", others})
	}
	if p.Type == access.TypeInvite {
		d.Lead = "Invited, but has not joined yet. Segment does not show the roles of an invite, only its groups."
	}
	t := &table{Caption: "Paths from " + d.Title, Class: "reach", Columns: []string{"Role", "Held on", "Through group", "When", "Reaches"}, None: "Nothing."}
	w.addReach(t, paths, func(p access.Path) row { return row{w.groupCell(p), whenCell(p)} })
	d.Sections = append(d.Sections,
		section{Title: "What this person reaches", Picture: w.picture("What "+d.Title+" reaches", paths), Table: t})
	return true
}

// addReach adds rows of paths with what each reaches. Cells of the caller stand between
// these.
func (w *workspace) addReach(t *table, paths []access.Path, between func(access.Path) row) {
	t.add(len(paths), func(i int) row {
		p := paths[i]
		return slices.Concat(row{w.roleCell(p), w.thingCell(p.HeldOn)}, between(p), row{w.reachCell(p)})
	})
	t.addNotes(paths)
}

// reachCell says how many resources of each type a path leads to, with links to all of
// the type if it leads to all, or which resource.
func (w *workspace) reachCell(p access.Path) cell {
	if p.HeldOn.Type != access.TypeWorkspace || len(p.Reaches) == 0 {
		c := plainCell(wording.Reaches(p))
		if p.HeldOn.Type != access.TypeWorkspace {
			c.To = w.address(p.HeldOn.Type, p.HeldOn.ID)
		}
		return c
	}
	var cells []cell
	for _, typeID := range wording.Reachable {
		if n := p.Reaches[typeID]; n > 0 {
			cells = append(cells, cell{Text: wording.Count(n, typeID), To: address{list: typeID + "s"}})
		}
	}
	cells[0].More = cells[1:]
	return cells[0]
}

// groupsFact names groups, sorted by name: their order in Segment's list and in a file may
// differ.
func (w *workspace) groupsFact(groups []access.Group) fact {
	f := fact{Name: "Groups"}
	for _, g := range groups {
		f.Value = append(f.Value, cell{Text: cmp.Or(g.Name, g.ID), To: w.address(access.TypeGroup, g.ID)})
	}
	slices.SortStableFunc(f.Value, func(a, b cell) int {
		return cmp.Or(strings.Compare(a.Text, b.Text), strings.Compare(a.To.thing.ID, b.To.thing.ID))
	})
	return f.orNone()
}

func (f fact) orNone() fact {
	if len(f.Value) == 0 {
		f.Value = []cell{plainCell("none")}
	}
	return f
}

// sameEmail returns the people of other workspaces who have the e-mail of a person.
func (s *Site) sameEmail(w *workspace, p access.Person) []cell {
	var others []cell
	for _, other := range s.workspaces {
		if other == w || p.Email == "" {
			continue
		}
		for _, q := range other.byEmail[segmentapi.FoldEmail(p.Email)] {
			others = append(others, cell{Text: other.WorkspaceThing().Name, To: other.address(q.Type, q.ID)})
		}
	}
	return others
}

func (s *Site) group(d *document, w *workspace, id string) bool {
	i := slices.IndexFunc(w.Groups, func(g access.Group) bool { return g.ID == id })
	if i < 0 {
		return false
	}
	d.Title = cmp.Or(w.Groups[i].Name, id)
	d.Facts = append(d.Facts, fact{"Id", []cell{plainCell(id)}})
	members := w.Who(access.Thing{Type: access.TypeGroup, ID: id})
	in := &table{Caption: "Members of " + d.Title, Columns: []string{"Person", "When"}, None: "Nobody."}
	in.add(len(members), func(i int) row {
		return row{w.personCell(members[i].Person), whenCell(members[i])}
	})
	held := w.GroupHolds(id)
	reach := &table{Caption: "Roles of " + d.Title, Class: "held", Columns: []string{"Role", "Held on", "When", "Reaches"}, None: "Nothing."}
	w.addReach(reach, held, func(p access.Path) row { return row{whenCell(p)} })
	var through []access.Path
	for _, m := range members {
		for _, p := range held {
			p.Person = m.Person
			if m.When == access.WhenAccepted && p.When == access.Now {
				p.When = access.WhenAccepted
			}
			through = append(through, p)
		}
	}
	switch {
	case len(members) == 0:
		through = held
	case len(held) == 0:
		through = members
	}
	d.Sections = append(d.Sections,
		section{Title: "What its members reach", Picture: w.picture("Members and roles of "+d.Title, through), Table: reach},
		section{Title: "Members", Table: in})
	return true
}

// roleOrLabel is the page of a role or of a set of labels: who holds it, or a role on it.
func (s *Site) roleOrLabel(d *document, w *workspace, ref access.Ref) bool {
	thing, known := w.rolesAndLabels[ref]
	if !known {
		return false
	}
	d.Title = thing.Name
	d.Facts = append(d.Facts, fact{"Id", []cell{plainCell(ref.ID)}})
	if i := slices.IndexFunc(w.Roles, func(r segmentapi.Role) bool { return r.ID == ref.ID }); ref.Type == access.TypeRole && i >= 0 {
		d.Lead = w.Roles[i].Description
	}
	title := "Who holds it"
	holds := func(t access.Target) bool { return t.RoleID == ref.ID }
	if ref.Type == access.TypeLabel {
		title = "Who holds a role on it"
		holds = func(t access.Target) bool { return t.Type == access.TypeLabel && t.ID == ref.ID }
	}
	var groups []access.Group // Those without members are in no path.
	for _, g := range w.Groups {
		if slices.ContainsFunc(w.Held[g.Ref()], holds) {
			groups = append(groups, g)
		}
	}
	d.Facts = append(d.Facts, w.groupsFact(groups))
	paths := w.Who(thing)
	d.Sections = append(d.Sections, section{Title: title, Picture: w.picture(title+": "+d.Title, paths), Table: w.peopleTable(title, paths)})
	return true
}

// peopleTable returns a table of paths of this workspace.
func (w *workspace) peopleTable(caption string, paths []access.Path) *table {
	single := Site{}
	t := single.pathTable(caption)
	single.addPaths(t, w, paths)
	return t
}

// resource is the page of a source, space, function or warehouse. It lists the people who
// reach it, or, if it is not to be whole, the ways, and names the list of those who reach
// all of its type.
func (s *Site) resource(d *document, w *workspace, ref access.Ref, whole bool) bool {
	r, known := w.Resource(ref.Type, ref.ID)
	if !known {
		return false
	}
	d.Title = cmp.Or(r.Name, r.Slug, r.ID)
	d.Facts = append(d.Facts, fact{"Id", []cell{plainCell(r.ID)}})
	if r.Slug != "" {
		d.Facts = append(d.Facts, fact{"Slug", []cell{plainCell(r.Slug)}})
	}
	if r.Type == access.TypeSource {
		d.Facts = append(d.Facts, w.labelFact(r))
	}
	if r.Unlisted {
		d.Lead = "Segment does not list this resource: it may have been deleted, or the workspace's plan does not show it."
	}
	paths := w.Who(access.Thing{Type: r.Type, ID: r.ID})
	all, narrow := split(paths)
	every := fact{"Through roles on everything", []cell{{Text: people(all), To: address{list: listEvery + r.Type}}}}
	d.Facts = append(d.Facts, every, fact{"Through other roles", []cell{plainCell(people(narrow))}})
	shown := section{Title: "Who reaches it", Picture: w.picture("Who reaches "+r.Type+" "+d.Title, paths)}
	if whole {
		shown.Table = w.peopleTable(shown.Title, paths)
	} else {
		shown.Table = w.wayTable("Ways to "+d.Title, narrow)
	}
	d.Sections = append(d.Sections, shown)
	return true
}

func (w *workspace) labelFact(r access.Resource) fact {
	f := fact{Name: "Labels"}
	for _, l := range r.Labels {
		set := []segmentapi.Label{l}
		f.Value = append(f.Value, cell{Text: access.LabelText(set), To: w.address(access.TypeLabel, access.LabelID(set))})
	}
	return f.orNone()
}

// split returns paths through roles on the whole workspace, and the others.
func split(paths []access.Path) ([]access.Path, []access.Path) {
	var all, narrow []access.Path
	for _, p := range paths {
		if p.HeldOn.Type == access.TypeWorkspace {
			all = append(all, p)
		} else {
			narrow = append(narrow, p)
		}
	}
	return all, narrow
}

func people(paths []access.Path) string { return wording.Count(len(peopleOf(paths)), "person") }

// maxNames is how many people a way names. The page of its role or group has the others.
const maxNames = 10

// wayTable returns a table of the ways that people share: a role on something, through a
// group or not.
func (w *workspace) wayTable(caption string, paths []access.Path) *table {
	type way struct {
		role, heldOn, group, when string
	}
	var order []way
	byWay := map[way][]access.Path{}
	for _, p := range paths {
		k := way{role: p.Role.ID, heldOn: p.HeldOn.Type + " " + p.HeldOn.ID, when: string(p.When)}
		if p.Group != nil {
			k.group = p.Group.ID
		}
		if byWay[k] == nil {
			order = append(order, k)
		}
		byWay[k] = append(byWay[k], p)
	}
	t := &table{Caption: caption, Class: "paths", Columns: []string{"People", "Role", "Held on", "Through group", "When"}, None: "Nobody through a role on it or on its labels."}
	t.add(len(order), func(i int) row {
		same := byWay[order[i]]
		who := cell{}
		for j, p := range same[:min(len(same), maxNames)] {
			one := w.personCell(p.Person)
			one.Note = ""
			if j == 0 {
				who = one
			} else {
				who.More = append(who.More, one)
			}
		}
		if more := len(same) - maxNames; more > 0 {
			to := w.address(access.TypeRole, same[0].Role.ID)
			if g := same[0].Group; g != nil {
				to = w.address(access.TypeGroup, g.ID)
			}
			who.More = append(who.More, cell{Text: "and " + strconv.Itoa(more) + " more", To: to})
		}
		return row{who, w.roleCell(same[0]), w.thingCell(same[0].HeldOn), w.groupCell(same[0]), whenCell(same[0])}
	})
	t.addNotes(paths)
	return t
}

func (w *workspace) picture(title string, paths []access.Path) *picture {
	if len(paths) == 0 {
		return nil
	}
	return &picture{title: title, paths: paths, of: w}
}

// changes returns the page about what has changed since the earlier snapshots.
func (s *Site) changes() (document, bool) {
	d := document{Address: address{list: listChanges}, Title: "Changes"}
	gained, lost := s.pathTable("Gained"), s.pathTable("Lost")
	came, went := s.newTable("Came", "Name", "E-mail", "Type"), s.newTable("Went", "Name", "E-mail", "Type")
	known := false
	for _, w := range s.workspaces {
		if w.changes == nil {
			d.Facts = append(d.Facts, fact{w.WorkspaceThing().Name, []cell{plainCell("not compared: no earlier file was given")}})
			continue
		}
		known = true
		d.Facts = append(d.Facts, fact{w.WorkspaceThing().Name, []cell{plainCell(fmt.Sprintf("from %s, read on %s, to %s", w.source.BeforeFrom, formatTime(w.source.Before.Began), w.source.From))}})
		s.addPaths(gained, w, w.changes.Gained)
		s.addPaths(lost, w, w.changes.Lost)
		for _, moved := range []struct {
			to     *table
			people []access.Person
		}{{came, w.changes.People.Came}, {went, w.changes.People.Went}} {
			s.addRows(moved.to, w, len(moved.people), func(i int) row {
				p := moved.people[i]
				return row{plainCell(cmp.Or(p.Name, p.Email, p.ID)), plainCell(p.Email), plainCell(p.Type)}
			})
		}
	}
	gained.None, lost.None = "Nothing.", "Nothing."
	d.Sections = []section{
		{Title: fmt.Sprintf("Gained: %d", gained.len()), Lead: "Roles and group memberships that people have now and did not have before.", Table: gained},
		{Title: fmt.Sprintf("Lost: %d", lost.len()), Lead: "Roles and group memberships that people had before and do not have now.", Table: lost},
		{Title: fmt.Sprintf("People added: %d", came.len()), Table: came},
		{Title: fmt.Sprintf("People removed: %d", went.len()), Table: went},
	}
	return d, known
}

// A searchable is a thing with the texts by which it is found, in lower case.
type searchable struct {
	access.Match
	texts []string
}

// allTypes are the types of things that have a page.
func allTypes() []string {
	return append([]string{access.TypeUser, access.TypeInvite, access.TypeGroup, access.TypeRole, access.TypeLabel}, wording.Reachable...)
}

func searchables(s *access.Snapshot) []searchable {
	var all []searchable
	for _, m := range s.Things(allTypes()...) {
		one := searchable{Match: m}
		for _, text := range []string{m.Name, m.Email, m.Slug, m.ID} {
			if text != "" {
				one.texts = append(one.texts, strings.ToLower(text))
			}
		}
		all = append(all, one)
	}
	return all
}

// matches returns the things that have a text as a whole, or only as a part.
func (w *workspace) matches(text string, exact bool) []*searchable {
	var found []*searchable
	for i := range w.things {
		one := &w.things[i]
		if slices.Contains(one.texts, text) == exact && slices.ContainsFunc(one.texts, func(t string) bool { return strings.Contains(t, text) }) {
			found = append(found, one)
		}
	}
	return found
}

// maxFound is how many things a search shows.
const maxFound = 200

// search returns the page of the things whose name, e-mail, slug or id contains a text,
// the exact ones first.
func (s *Site) search(text string) document {
	text = strings.ToLower(strings.TrimSpace(text))
	d := document{Address: address{list: listSearch}, Title: "Search", Lead: "Search by part of a name, e-mail, slug or id."}
	if text == "" {
		return d
	}
	t := s.newTable("Found", "Name", "Type", "E-mail or slug", "Id")
	t.None = "No matches."
	for _, exact := range []bool{true, false} {
		for _, w := range s.workspaces {
			found := w.matches(text, exact)
			s.addRows(t, w, len(found), func(i int) row {
				m := found[i]
				return row{{Text: m.Name, To: w.address(m.Type, m.ID)}, plainCell(m.Type), plainCell(cmp.Or(m.Email, m.Slug)), plainCell(m.ID)}
			})
		}
	}
	d.Sections = []section{{Title: fmt.Sprintf("%d found", t.len()), Table: t.first(maxFound)}}
	return d
}
