// Package page shows the answers of package access as HTML: as the pages of a server, or
// as one file. Both have the same pages, made by the same functions; in a file each of
// them is a section.
package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/wording"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// A Source is a workspace to show.
type Source struct {
	Snapshot *access.Snapshot
	// From says where the snapshot is from: the name of a file, or "Segment".
	From string
	// Before is an earlier snapshot of the workspace, or nil. The pages show what has
	// changed since.
	Before     *access.Snapshot
	BeforeFrom string
}

// A Site has the pages about some workspaces. It does not change.
type Site struct {
	version    string
	workspaces []*workspace
	lists      []*list
}

// A workspace is one of those that a site is about.
type workspace struct {
	*access.Index
	source  Source
	changes *access.Changes
	things  []searchable
	// rolesAndLabels are those that a list has or a permission names.
	rolesAndLabels map[access.Ref]access.Thing
	known          map[access.Ref]bool     // All that have a page.
	byEmail        map[string][]access.Ref // If there are several workspaces, the people by folded e-mail.
}

// New returns the pages about some workspaces, of which there must be at least one. The
// version is that of the program, for the foot of each page.
func New(version string, sources ...Source) *Site {
	s := &Site{version: version}
	var overviews []access.Overview
	for _, source := range sources {
		w := &workspace{source: source, Index: source.Snapshot.Index()}
		if source.Before != nil {
			changes := access.Diff(source.Before, source.Snapshot)
			w.changes = &changes
		}
		w.things = searchables(w.Snapshot)
		if len(sources) > 1 {
			w.byEmail = map[string][]access.Ref{}
			for _, p := range w.People {
				email := segmentapi.FoldEmail(p.Email)
				w.byEmail[email] = append(w.byEmail[email], p.Ref())
			}
		}
		w.rolesAndLabels = map[access.Ref]access.Thing{}
		for _, one := range w.things {
			if one.Type == access.TypeRole || one.Type == access.TypeLabel {
				w.rolesAndLabels[access.Ref{Type: one.Type, ID: one.ID}] = one.Thing
			}
		}
		w.known = make(map[access.Ref]bool, len(w.things))
		for _, one := range w.things {
			w.known[access.Ref{Type: one.Type, ID: one.ID}] = true
		}
		s.workspaces = append(s.workspaces, w)
		overviews = append(overviews, w.Overview())
	}
	s.lists = s.makeLists(overviews)
	return s
}

// several reports whether pages must say which workspace a thing is of.
func (s *Site) several() bool { return len(s.workspaces) > 1 }

func (s *Site) title() string {
	var names []string
	for _, w := range s.workspaces {
		names = append(names, w.WorkspaceThing().Name)
	}
	return wording.Plain("Access in " + strings.Join(names, ", "))
}

// workspace returns a workspace by its id, or the only one if the id is empty.
func (s *Site) workspace(id string) (*workspace, bool) {
	for _, w := range s.workspaces {
		if w.Workspace.ID == id || id == "" && !s.several() {
			return w, true
		}
	}
	return nil, false
}

// An address refers to a page: of a list by its name, or of a thing of a workspace.
type address struct {
	list      string
	workspace string
	thing     access.Ref
}

func (w *workspace) address(typeID, id string) address {
	return address{workspace: w.Workspace.ID, thing: access.Ref{Type: typeID, ID: id}}
}

// The model of a page. Its texts may be anything: the template escapes them.
type (
	document struct {
		Address address
		// Kind precedes the title: the type of the thing that the page is about.
		Kind, Title, Lead string
		Facts             []fact
		Cards             []card
		Sections          []section
	}
	fact struct {
		Name  string
		Value []cell
	}
	card struct {
		Count int
		Label string
		Note  string
		To    address
		// Each says what each of several workspaces adds to the count.
		Each []string
	}
	section struct {
		Title, Lead string
		Picture     *picture
		Table       *table
	}
	// A picture is drawn when its page is shown.
	picture struct {
		title string
		paths []access.Path
		of    *workspace
	}
	table struct {
		// Caption says what the rows are, for people who do not see the page.
		Caption string
		// Class is for the style: narrow pages repeat the headings of its columns.
		Class   string
		Columns []string
		// None is shown in the place of a table without rows.
		None  string
		Notes []string
		parts []part
	}
	// A part is some rows of a table. Each is made when it is shown.
	part struct {
		n  int
		at func(i int) row
	}
	row  []cell
	cell struct {
		Text string
		To   address
		// Note follows the text in smaller letters.
		Note string
		// More are further texts of the cell, with their own addresses.
		More []cell
	}
)

func plainCell(text string) cell { return cell{Text: text} }

func (w *workspace) personCell(p access.Person) cell {
	c := cell{Text: cmp.Or(p.Name, p.Email, p.ID), To: w.address(p.Type, p.ID)}
	if p.Email != c.Text {
		c.Note = p.Email
	}
	if p.Type == access.TypeInvite {
		c.Note = strings.TrimSpace(c.Note + " invite")
	}
	return c
}

func (w *workspace) roleCell(p access.Path) cell {
	return cell{Text: wording.Role(p), To: w.address(access.TypeRole, p.Role.ID)}
}

func (w *workspace) thingCell(t access.Thing) cell {
	if t.Type == access.TypeWorkspace {
		return cell{Text: wording.HeldOn(t)}
	}
	return cell{Text: wording.HeldOn(t), To: w.address(t.Type, t.ID)}
}

func (w *workspace) groupCell(p access.Path) cell {
	if p.Group == nil {
		return plainCell("directly")
	}
	return cell{Text: p.Group.Name, To: w.address(access.TypeGroup, p.Group.ID)}
}

// whenCell has the condition of a path.
func whenCell(p access.Path) cell {
	if p.When == access.WhenAccepted {
		return plainCell("when accepted")
	}
	return plainCell(string(p.When))
}

// nameCell has the name of the workspace, for tables about several.
func (w *workspace) nameCell() cell {
	return cell{Text: w.WorkspaceThing().Name, Note: w.Workspace.Slug}
}

// asOf says from when and where the data of a workspace is.
func (w *workspace) asOf() string {
	return wording.Plain(fmt.Sprintf("%s: %s, read on %s", w.WorkspaceThing().Name, w.source.From, formatTime(w.Began)))
}

func formatTime(t time.Time) string { return t.UTC().Format("2 January 2006 at 15:04 UTC") }

func (t *table) add(n int, at func(i int) row) { t.parts = append(t.parts, part{n, at}) }

func (t *table) len() int {
	n := 0
	for _, p := range t.parts {
		n += p.n
	}
	return n
}

// rows returns the rows from one to another, which it does not include.
func (t *table) rows(from, to int) []row {
	var rows []row
	for _, p := range t.parts {
		for i := max(from, 0); i < min(to, p.n); i++ {
			rows = append(rows, p.at(i))
		}
		from, to = from-p.n, to-p.n
	}
	return rows
}

// first returns a table of the first rows, which says so.
func (t *table) first(n int) *table {
	if t.len() <= n {
		return t
	}
	short := *t
	rows := t.rows(0, n)
	short.parts = []part{{n, func(i int) row { return rows[i] }}}
	short.Notes = append(slices.Clone(t.Notes), fmt.Sprintf("These are the first %d of %d rows.", n, t.len()))
	return &short
}
