package page

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/wording"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// A list is a page of one table over all workspaces.
type list struct {
	name, title, lead string
	// count is how many people, things or rows there are in each workspace, and total in
	// all of them. A person who is in several counts once in the total.
	count []int
	total int
	table *table
	// review is set if the list is one that a review starts from.
	review bool
}

// addCount adds the number of things or rows of a workspace.
func (l *list) addCount(n int) {
	l.count = append(l.count, n)
	l.total += n
}

// setPeople sets the counts of a list, given the people of each workspace. As in the tables
// of segment-iam, people are the same in several workspaces if they have the same e-mail.
func (l *list) setPeople(ofEach [][]access.Person) {
	l.count = nil
	all := map[access.Ref]bool{}
	for _, people := range ofEach {
		l.addCount(len(people))
		for _, p := range people {
			ref := p.Ref()
			if len(ofEach) > 1 && p.Email != "" {
				ref = access.Ref{ID: segmentapi.FoldEmail(p.Email)}
			}
			all[ref] = true
		}
	}
	l.total = len(all)
}

// Names of lists that other pages refer to.
const (
	listOwners = "owners"
	// listEvery precedes the type of the resources that everybody in the list reaches.
	listEvery = "every-"
	// These pages are no lists, but have addresses like those.
	listOverview = ""
	listChanges  = "changes"
	listSearch   = "search"
)

// makeLists returns all lists, in the order in which pages name them.
func (s *Site) makeLists(overviews []access.Overview) []*list {
	m := listMaker{s, overviews}
	lists := m.reviewed()
	for _, l := range lists {
		l.review = true
	}
	for _, typeID := range wording.Reachable {
		lists = append(lists, m.paths(listEvery+typeID, "People who reach every "+typeID, "Through roles on the whole workspace.", func(o access.Overview) []access.Path {
			return slices.DeleteFunc(slices.Clone(o.Everything), func(p access.Path) bool {
				return p.Role.Name != segmentapi.RoleWorkspaceOwner && !access.Applies(p.Role.Name, typeID)
			})
		}))
	}
	return append(lists, s.catalogs()...)
}

// A listMaker makes lists from the overviews of the workspaces of a site.
type listMaker struct {
	*Site
	overviews []access.Overview
}

// reviewed returns the lists that a review starts from.
func (m listMaker) reviewed() []*list {
	byName := m.paths("by-name", "Rows that rest on the name of a role", "Segment does not say which resources a role applies to, so segment-iam infers it from the role's name.",
		func(o access.Overview) []access.Path { return o.ByName })
	byName.count, byName.total = nil, 0
	for _, o := range m.overviews {
		byName.addCount(len(o.ByName))
	}
	return []*list{
		m.paths(listOwners, "Workspace owners", "They reach everything, see personal data and decide who else does.",
			func(o access.Overview) []access.Path { return o.Owners }),
		m.paths("pii", "People who see personal data", "Through the role PII Access, or as workspace owners. Others see it masked.",
			func(o access.Overview) []access.Path { return o.PII }),
		m.paths("everything", "People with roles on everything", "A role on the whole workspace reaches all sources, spaces, functions or warehouses, including future ones.",
			func(o access.Overview) []access.Path { return o.Everything }),
		m.people("invites", "Pending invites", "Segment does not show how old an invite is.",
			func(o access.Overview) []access.Person { return o.Invites }),
		m.people("ungrouped", "People without a group", "Users and invites that are in no group. If they hold roles, they hold them directly.",
			func(o access.Overview) []access.Person { return o.Ungrouped }),
		m.emptyGroups(),
		m.things("unheld-roles", "Roles that nobody holds", "Segment offers these roles, but no user or group holds them.",
			func(o access.Overview) []access.Thing { return o.UnheldRoles }),
		m.things("label-sets", "Labels that roles are held on", "A role on labels reaches every resource that carries all of them, now or in the future.",
			func(o access.Overview) []access.Thing { return o.LabelSets }),
		m.things("unlisted", "Resources that Segment does not list", "Permissions refer to them, but Segment does not list them: they may have been deleted, or the workspace's plan does not show them.",
			func(o access.Overview) []access.Thing { return o.Unlisted }),
		byName,
	}
}

func (m listMaker) paths(name, title, lead string, paths func(access.Overview) []access.Path) *list {
	l := &list{name: name, title: title, lead: lead, table: m.pathTable(title)}
	people := make([][]access.Person, len(m.workspaces))
	for i, w := range m.workspaces {
		found := paths(m.overviews[i])
		people[i] = peopleOf(found)
		m.addPaths(l.table, w, found)
	}
	l.setPeople(people)
	return l
}

func (m listMaker) people(name, title, lead string, people func(access.Overview) []access.Person) *list {
	l := &list{name: name, title: title, lead: lead, table: m.newTable(title, "Name", "E-mail", "Type")}
	each := make([][]access.Person, len(m.workspaces))
	for i, w := range m.workspaces {
		found := people(m.overviews[i])
		each[i] = found
		m.addRows(l.table, w, len(found), func(i int) row {
			p := found[i]
			c := w.personCell(p)
			c.Note = ""
			return row{c, plainCell(p.Email), plainCell(p.Type)}
		})
	}
	l.setPeople(each)
	return l
}

func (m listMaker) things(name, title, lead string, things func(access.Overview) []access.Thing) *list {
	l := &list{name: name, title: title, lead: lead, table: m.newTable(title, "Name", "Type", "Id")}
	for i, w := range m.workspaces {
		found := things(m.overviews[i])
		l.addCount(len(found))
		m.addRows(l.table, w, len(found), func(i int) row {
			t := found[i]
			return row{{Text: t.Name, To: w.address(t.Type, t.ID)}, plainCell(t.Type), plainCell(t.ID)}
		})
	}
	return l
}

func (m listMaker) emptyGroups() *list {
	l := &list{name: "empty-groups", title: "Groups without members", lead: "Nobody has the roles of these groups until someone is added."}
	l.table = m.newTable(l.title, "Name", "Id", "Roles")
	for i, w := range m.workspaces {
		groups := m.overviews[i].EmptyGroups
		l.addCount(len(groups))
		m.addRows(l.table, w, len(groups), func(i int) row {
			g := groups[i]
			return row{{Text: g.Name, To: w.address(g.Type, g.ID)}, plainCell(g.ID), w.rolesCell(g.ID)}
		})
	}
	return l
}

// catalogs returns the lists of all things, one for each kind.
func (s *Site) catalogs() []*list {
	var lists []*list
	for _, kind := range []struct {
		name, title string
		types       []string
	}{
		{"people", "All people", []string{access.TypeUser, access.TypeInvite}},
		{"groups", "All groups", []string{access.TypeGroup}},
		{"roles", "All roles", []string{access.TypeRole}},
		{"sources", "All sources", []string{access.TypeSource}},
		{"spaces", "All spaces", []string{access.TypeSpace}},
		{"functions", "All functions", []string{access.TypeFunction}},
		{"warehouses", "All warehouses", []string{access.TypeWarehouse}},
		{"labels", "All labels", []string{access.TypeLabel}},
	} {
		l := &list{name: kind.name, title: kind.title, table: s.newTable(kind.title, "Name", "E-mail or slug", "Id")}
		var people [][]access.Person
		for _, w := range s.workspaces {
			people = append(people, w.People)
			things := w.Things(kind.types...)
			l.addCount(len(things))
			s.addRows(l.table, w, len(things), func(i int) row {
				m := things[i]
				c := cell{Text: m.Name, To: w.address(m.Type, m.ID)}
				if m.Unlisted {
					c.Note = "not listed by Segment"
				}
				return row{c, plainCell(cmp.Or(m.Email, m.Slug)), plainCell(m.ID)}
			})
		}
		if kind.name == "people" {
			l.setPeople(people)
		}
		lists = append(lists, l)
	}
	return lists
}

// rolesCell names what a group holds.
func (w *workspace) rolesCell(groupID string) cell {
	var cells []cell
	for _, p := range w.GroupHolds(groupID) {
		c := w.roleCell(p)
		c.Note = "on " + wording.HeldOn(p.HeldOn)
		cells = append(cells, c)
	}
	if len(cells) == 0 {
		return plainCell("none")
	}
	cells[0].More = cells[1:]
	return cells[0]
}

// newTable returns a table, with a column for the workspace if there are several.
func (s *Site) newTable(caption string, columns ...string) *table {
	if s.several() {
		columns = append([]string{"Workspace"}, columns...)
	}
	return &table{Caption: caption, Columns: columns, None: "None."}
}

// addRows adds rows about a workspace.
func (s *Site) addRows(t *table, w *workspace, n int, at func(i int) row) {
	if s.several() {
		t.add(n, func(i int) row { return append(row{w.nameCell()}, at(i)...) })
		return
	}
	t.add(n, at)
}

// pathTable returns a table of paths.
func (s *Site) pathTable(caption string) *table {
	t := s.newTable(caption, "Person", "Role", "Held on", "Through group", "When")
	t.Class, t.None = "paths", "Nobody."
	return t
}

func (s *Site) addPaths(t *table, w *workspace, paths []access.Path) {
	s.addRows(t, w, len(paths), func(i int) row {
		p := paths[i]
		return row{w.personCell(p.Person), w.roleCell(p), w.thingCell(p.HeldOn), w.groupCell(p), whenCell(p)}
	})
	t.addNotes(paths)
}

// addNotes adds what the marks of paths mean.
func (t *table) addNotes(paths []access.Path) {
	add := func(note string, is func(access.Path) bool) {
		if slices.ContainsFunc(paths, is) && !slices.Contains(t.Notes, note) {
			t.Notes = append(t.Notes, note)
		}
	}
	add(wording.ByNameNote, func(p access.Path) bool { return p.ByName })
	add(wording.IfLabeledNote, func(p access.Path) bool { return p.When == access.IfLabeled })
}

// peopleOf returns the people of paths, each once.
func peopleOf(paths []access.Path) []access.Person {
	known := map[access.Ref]bool{}
	var people []access.Person
	for _, p := range paths {
		if ref := p.Person.Ref(); !known[ref] {
			known[ref] = true
			people = append(people, p.Person)
		}
	}
	return people
}

// list returns a list by its name.
func (s *Site) list(name string) (*list, bool) {
	for _, l := range s.lists {
		if l.name == name {
			return l, true
		}
	}
	return nil, false
}

func (l *list) document() document {
	return document{Address: address{list: l.name}, Title: l.title, Lead: l.lead, Sections: []section{{Table: l.table}}}
}

// firstOwners is how many owners the overview shows.
const firstOwners = 10

// overview returns the first page: the figures, each a link to its list, and the owners.
func (s *Site) overview() document {
	d := document{Title: s.title()}
	for _, w := range s.workspaces {
		d.Facts = append(d.Facts, fact{Name: "Workspace", Value: []cell{plainCell(w.asOf())}})
		for _, gap := range wording.Gaps(w.Snapshot) {
			d.Facts = append(d.Facts, fact{Name: "Not included", Value: []cell{plainCell(gap)}})
		}
	}
	var catalogs []*list
	for _, l := range s.lists {
		if !l.review {
			catalogs = append(catalogs, l)
			continue
		}
		c := card{Count: l.total, Label: l.title, Note: l.lead, To: address{list: l.name}}
		if s.several() {
			for i, w := range s.workspaces {
				c.Each = append(c.Each, wording.Plain(fmt.Sprintf("%s: %d", w.WorkspaceThing().Name, l.count[i])))
			}
		}
		d.Cards = append(d.Cards, c)
	}
	if owners, ok := s.list(listOwners); ok {
		d.Sections = append(d.Sections, section{Title: owners.title, Lead: "Who owns the workspace, and through what.", Table: owners.table.first(firstOwners)})
	}
	all := &table{Caption: "All lists", Columns: []string{"List", "Number"}}
	all.add(len(catalogs), func(i int) row {
		return row{{Text: catalogs[i].title, To: address{list: catalogs[i].name}}, plainCell(strconv.Itoa(catalogs[i].total))}
	})
	d.Sections = append(d.Sections, section{Title: "All lists", Table: all})
	return d
}
