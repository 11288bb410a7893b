package page

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/net/html"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/wording"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// read returns a snapshot of a simulated workspace.
func read(t testing.TB, ws *sim.Workspace) *access.Snapshot {
	t.Helper()
	s := sim.New(ws)
	client, err := segmentapi.New(s.Token(), segmentapi.WithHTTPClient(simtest.Client(s)))
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := access.Read(t.Context(), client, access.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// sized has lists that take several pages of the server.
func sized() *sim.Workspace {
	return sim.Sized(sim.Size{Users: 210, Groups: 4, Sources: 9, Spaces: 3, Functions: 3, Warehouses: 2, Labels: 8, Invites: 20, MembersPerGroup: 205})
}

// summarized has groups of more people than a graph draws.
func summarized() *sim.Workspace {
	return sim.Sized(sim.Size{Users: 40, Groups: 3, Sources: 4, Spaces: 2, Functions: 2, Warehouses: 1, Labels: 4, Invites: 3, MembersPerGroup: 35})
}

// earlier returns the demo workspace as it was before much changed: people came and went,
// and so did a group, a role, a source and a label.
func earlier() *sim.Workspace {
	ws := sim.Demo()
	ws.Users[1].Permissions = nil
	ws.Groups[0].Members = nil
	ws.Users = append(ws.Users[:2:2], ws.Users[4:]...)
	whole := []sim.Resource{{ID: ws.ID, Type: "WORKSPACE"}}
	ws.Roles = append(ws.Roles, sim.Role{ID: "role-gone", Name: "Gone Role"})
	ws.Sources = append(ws.Sources, sim.Source{ID: "source-gone", Slug: "gone"})
	held := []sim.Permission{
		{RoleID: "role-gone", RoleName: "Gone Role", Resources: whole},
		{RoleID: ws.Roles[0].ID, RoleName: ws.Roles[0].Name, Resources: []sim.Resource{
			{ID: "source-gone", Type: "SOURCE"}, {ID: ws.ID, Type: "WORKSPACE", Labels: []sim.Label{{Key: "label", Value: "gone"}}},
		}},
	}
	ws.Users = append(ws.Users, sim.User{ID: "user-gone", Email: "gone@example.com", Name: "Gone User", Permissions: held})
	ws.Groups = append(ws.Groups, sim.Group{ID: "group-gone", Name: "Gone Group", Members: []string{"gone@example.com", ws.Users[0].Email}, Permissions: held})
	return ws
}

// sources returns what the tests show, by name.
func sources(t testing.TB) map[string][]Source {
	t.Helper()
	demo, hostile := Source{Snapshot: read(t, sim.Demo()), From: "demo.c1z"}, Source{Snapshot: read(t, sim.Hostile()), From: "<b>.c1z"}
	unlisted := sim.Demo()
	unlisted.Spaces, unlisted.Functions = nil, nil
	later := demo
	later.Before, later.BeforeFrom = read(t, earlier()), "earlier.c1z"
	return map[string][]Source{
		"demo": {demo}, "hostile": {hostile}, "summarized": {{Snapshot: read(t, summarized()), From: "Segment"}},
		"unlisted": {{Snapshot: read(t, unlisted), From: "Segment"}},
		"empty":    {{Snapshot: read(t, sim.Empty()), From: "Segment"}}, "several": {later, hostile},
	}
}

// ours is the address that handlers are for in tests.
const ours = "127.0.0.1:4711"

func newHandler(t testing.TB, s *Site) http.Handler {
	t.Helper()
	return newHandlerOf(t, func() (*Site, string) { return s, "" })
}

func newHandlerOf(t testing.TB, current Current) http.Handler {
	t.Helper()
	addr, err := net.ResolveTCPAddr("tcp", ours)
	if err != nil {
		t.Fatal(err)
	}
	h, err := Handler(addr, current)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// get asks a handler for a page as a browser does.
func get(t testing.TB, h http.Handler, target string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	r.Host = ours
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// crawl returns all pages that links lead to, by their addresses. The page of a search
// for each of some texts is among them.
func crawl(t *testing.T, s *Site, texts ...string) map[string]parsedPage {
	t.Helper()
	h := newHandler(t, s)
	pages := map[string]parsedPage{}
	todo := []string{"/"}
	for _, text := range texts {
		todo = append(todo, "/search?"+url.Values{"q": {text}}.Encode())
	}
	for len(todo) > 0 {
		target, _, _ := strings.Cut(todo[0], "#")
		todo = todo[1:]
		if _, done := pages[target]; done || target == "" {
			continue
		}
		w := get(t, h, target)
		if w.Code != http.StatusOK {
			t.Errorf("%s is answered with %d", target, w.Code)
		}
		pages[target] = parsePage(t, target, w.Body.String(), w.Header().Get("Content-Security-Policy"))
		todo = append(todo, pages[target].links()...)
	}
	return pages
}

// reportOf returns a report as a browser understands it.
func reportOf(t *testing.T, s *Site) (parsedPage, string) {
	t.Helper()
	var b bytes.Buffer
	if err := Report(&b, s); err != nil {
		t.Fatal(err)
	}
	p := parsePage(t, "report", b.String(), "")
	for _, meta := range elements(p.root, "meta") {
		if attribute(meta, "http-equiv") == "Content-Security-Policy" {
			p.policy = attribute(meta, "content")
		}
	}
	return p, b.String()
}

// Each page of the server that links lead to, and the report, can be navigated, loads
// nothing, and has no link that leads nowhere.
func TestPages_AreValid(t *testing.T) {
	t.Parallel()
	for name, sources := range sources(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New("test", sources...)
			inReport, _ := reportOf(t, s)
			inReport.check(t)
			pages := crawl(t, s, "a", `"><img src=x>`, "no such thing", "")
			for _, p := range pages {
				p.check(t)
			}
			t.Logf("%d pages", len(pages))
			checkComplete(t, s, inReport, pages)
		})
	}
}

// checkComplete checks that each thing has a section in the report and a page that can be
// found by links alone.
func checkComplete(t *testing.T, s *Site, inReport parsedPage, pages map[string]parsedPage) {
	t.Helper()
	things := 0
	for _, w := range s.workspaces {
		for _, m := range w.Things(allTypes()...) {
			things++
			p, found := pages[s.served(w.address(m.Type, m.ID))]
			if !found {
				t.Errorf("no link leads to %s %q", m.Type, m.ID)
				continue
			}
			heading := cmp.Or(strings.TrimSpace(wording.Plain(m.Name)), m.ID)
			if h := textOf(elements(p.root, "h1")[0]); !slices.Equal(strings.Fields(h), strings.Fields(m.Type+" "+heading)) {
				t.Errorf("the heading of %s %q is %q", m.Type, m.Name, h)
			}
		}
	}
	for _, w := range s.workspaces {
		for _, m := range w.Things(allTypes()...) {
			checkAnswer(t, pages[s.served(w.address(m.Type, m.ID))], w, access.Ref{Type: m.Type, ID: m.ID})
		}
	}
	sections := 0
	for _, section := range elements(inReport.root, "section") {
		if attribute(section, "class") == "thing" {
			sections++
		}
	}
	if sections != things {
		t.Errorf("the report has %d sections for %d things", sections, things)
	}
}

// checkAnswer checks that the page of a thing has as many rows as the answer about it has
// paths, and that of a person the groups.
func checkAnswer(t *testing.T, p parsedPage, w *workspace, ref access.Ref) {
	t.Helper()
	want := 0
	switch ref.Type {
	case access.TypeUser, access.TypeInvite:
		_, paths := w.What(ref)
		want = min(len(paths), rowsPerPage)
		var names []string
		for _, g := range slices.SortedFunc(slices.Values(w.GroupsOf(ref)), func(a, b access.Group) int {
			return cmp.Or(strings.Compare(cmp.Or(a.Name, a.ID), cmp.Or(b.Name, b.ID)), strings.Compare(a.ID, b.ID))
		}) {
			names = append(names, strings.Join(strings.Fields(cmp.Or(strings.TrimSpace(g.Name), g.ID)), " "))
		}
		shown := false
		for _, f := range factsOf(p.root) {
			shown = shown || f.name == "Groups"
			if got := strings.Join(strings.Fields(f.value), " "); f.name == "Groups" && got != cmp.Or(strings.Join(names, ", "), "none") {
				t.Errorf("%s: the groups are %s, want %q", p.name, got, names)
			}
		}
		if !shown {
			t.Errorf("%s does not say in which groups the person is", p.name)
		}
	case access.TypeGroup:
		want = min(len(w.GroupHolds(ref.ID)), rowsPerPage) + min(len(w.Who(access.Thing{Type: ref.Type, ID: ref.ID})), rowsPerPage)
	default:
		want = min(len(w.Who(access.Thing{Type: ref.Type, ID: ref.ID})), rowsPerPage)
	}
	if got := len(rowsOf(p.root, rowsPerPage+1)); got != want {
		t.Errorf("%s has %d rows, want %d", p.name, got, want)
	}
}

// The report and the server show the same figures, facts and rows.
func TestPages_ReportAndServerAgree(t *testing.T) {
	t.Parallel()
	for name, sources := range sources(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New("test", sources...)
			inReport, _ := reportOf(t, s)
			pages := crawl(t, s)
			if diff := gocmp.Diff(slices.Sorted(maps.Values(pages["/"].figures(t))), slices.Sorted(maps.Values(inReport.figures(t)))); diff != "" {
				t.Errorf("figures of the server and the report differ:\n%s", diff)
			}
			want, got := map[string]int{}, map[string]int{}
			for target, p := range pages {
				if strings.Contains(target, "?id=") && !strings.Contains(target, "from=") {
					want[outline(p.root, "h1")]++
				}
			}
			for _, section := range elements(inReport.root, "section") {
				if attribute(section, "class") == "thing" {
					got[outline(section, "h3")]++
				}
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("things of the server and the report differ:\n%s", diff)
			}
		})
	}
}

// outline returns what the page of a thing says in both forms: the heading, the facts, and
// the first rows of each table. The rows of resources differ on purpose.
func outline(n *html.Node, heading string) string {
	title := textOf(elements(n, heading)[0])
	text := title + "\n"
	for _, f := range factsOf(n) {
		text += f.name + ": " + f.value + "\n"
	}
	kind, _, _ := strings.Cut(title, " ")
	if slices.Contains(wording.Reachable, kind) {
		return text
	}
	for _, row := range rowsOf(n, rowsPerPage) {
		text += fmt.Sprintf("%q\n", row)
	}
	return text
}

// Each figure is the number of people, things or rows in its list.
func TestPages_FiguresAreThoseOfLists(t *testing.T) {
	t.Parallel()
	for name, sources := range sources(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pages := crawl(t, New("test", sources...))
			figures := pages["/"].figures(t)
			for list, n := range figures {
				rows, firsts := listed(t, pages, list)
				want := len(firsts)
				if name == "several" {
					want = len(byEmail(firsts))
				}
				if list == "/list?name=by-name" {
					want = rows
				}
				if n != want {
					t.Errorf("the figure of %s is %d, its list has %d", list, n, want)
				}
			}
		})
	}
}

// The figures of lists of everything are those of the simulated workspace.
func TestPages_FiguresAreThoseOfTheWorkspace(t *testing.T) {
	t.Parallel()
	for name, ws := range map[string]*sim.Workspace{"demo": sim.Demo(), "sized": sized()} {
		w := get(t, newHandler(t, New("test", Source{Snapshot: read(t, ws), From: "Segment"})), "/")
		got := parsePage(t, name, w.Body.String(), "").figures(t)
		for list, want := range figuresOf(ws) {
			if n := got["/list?name="+list]; n != want {
				t.Errorf("%s: the figure of %s is %d, want %d", name, list, n, want)
			}
		}
	}
}

// figuresOf counts in a workspace that has no oddities, as a person would do it.
func figuresOf(ws *sim.Workspace) map[string]int {
	empty, pending := 0, 0
	for _, g := range ws.Groups {
		if len(g.Members) == 0 {
			empty++
		}
	}
	for _, i := range ws.Invites {
		if !slices.ContainsFunc(ws.Users, func(u sim.User) bool { return strings.EqualFold(u.Email, i.Email) }) {
			pending++
		}
	}
	held, listed, deleted := map[string]bool{}, map[string]bool{}, map[string]map[string]bool{"SOURCE": {}, "SPACE": {}, "FUNCTION": {}, "WAREHOUSE": {}}
	for _, r := range ws.Sources {
		listed[r.ID] = true
	}
	for _, r := range ws.Spaces {
		listed[r.ID] = true
	}
	for _, r := range ws.Functions {
		listed[r.ID] = true
	}
	for _, r := range ws.Warehouses {
		listed[r.ID] = true
	}
	note := func(permissions []sim.Permission) {
		for _, p := range permissions {
			held[p.RoleID] = true
			for _, r := range p.Resources {
				if r.Type != "WORKSPACE" && !listed[r.ID] {
					deleted[r.Type][r.ID] = true
				}
			}
		}
	}
	for _, u := range ws.Users {
		note(u.Permissions)
	}
	for _, g := range ws.Groups {
		note(g.Permissions)
	}
	unheld := 0
	for _, r := range ws.Roles {
		if !held[r.ID] {
			unheld++
		}
	}
	figures := map[string]int{
		"people": len(ws.Users) + pending, "invites": pending, "groups": len(ws.Groups), "empty-groups": empty, "unheld-roles": unheld,
		"sources": len(ws.Sources) + len(deleted["SOURCE"]), "spaces": len(ws.Spaces) + len(deleted["SPACE"]),
		"functions": len(ws.Functions) + len(deleted["FUNCTION"]), "warehouses": len(ws.Warehouses) + len(deleted["WAREHOUSE"]),
	}
	for _, ids := range deleted {
		figures["unlisted"] += len(ids)
	}
	return figures
}

// The people who reach a resource through roles on everything are as many as are in the
// list that the page of the resource refers to.
func TestPages_ResourceRefersToAllWhoReachEvery(t *testing.T) {
	t.Parallel()
	for name, sources := range sources(t) {
		if len(sources) > 1 {
			continue // The list has the people of all workspaces.
		}
		pages := crawl(t, New("test", sources...))
		checked := 0
		for target, p := range pages {
			for _, f := range factsOf(p.root) {
				if !strings.HasPrefix(f.href, "/list?name="+listEvery) {
					continue
				}
				checked++
				if _, firsts := listed(t, pages, f.href); f.value != wording.Count(len(firsts), "person") {
					t.Errorf("%s: %s says %s, and %s has %d people", name, target, f.value, f.href, len(firsts))
				}
			}
		}
		if checked == 0 && name != "empty" {
			t.Errorf("%s: no resource refers to such a list", name)
		}
	}
}

// listed returns how many rows all pages of a list have, and the texts of the rows by what
// their first links are to.
func listed(t *testing.T, pages map[string]parsedPage, list string) (int, map[string]string) {
	t.Helper()
	rows, firsts := 0, map[string]string{}
	for target := list; target != ""; {
		p, found := pages[target]
		if !found {
			t.Errorf("%s is not among the pages", target)
			break
		}
		target = ""
		for _, tr := range elements(p.root, "tr") {
			if links := elements(tr, "a"); len(links) > 0 {
				rows++
				var text string
				for _, td := range elements(tr, "td") {
					text += " " + textOf(td)
				}
				firsts[attribute(links[0], "href")] = text
			}
		}
		for _, a := range elements(p.root, "a") {
			if attribute(a, "rel") == "next" {
				target = attribute(a, "href")
			}
		}
	}
	return rows, firsts
}

// byEmail returns the e-mails in the texts of rows, and the links of rows without any.
func byEmail(rows map[string]string) map[string]bool {
	all := map[string]bool{}
	for link, text := range rows {
		key := link
		for _, word := range strings.Fields(text) {
			if strings.Contains(word, "@") {
				key = segmentapi.FoldEmail(word)
			}
		}
		all[key] = true
	}
	return all
}

// A person of several workspaces counts once in the figures of all, as in the tables of
// segment-iam, and once in those of each workspace.
func TestPages_PersonOfSeveralWorkspacesCountsOnce(t *testing.T) {
	t.Parallel()
	first, second := sim.Demo(), sim.Demo()
	second.ID, second.Name = "other", "Other"
	for i := range second.Users {
		second.Users[i].ID = "other-" + second.Users[i].ID
		second.Users[i].Email = strings.ToUpper(second.Users[i].Email)
	}
	one := newHandler(t, New("test", Source{Snapshot: read(t, first), From: "Segment"}))
	both := newHandler(t, New("test", Source{Snapshot: read(t, first), From: "Segment"}, Source{Snapshot: read(t, second), From: "Segment"}))
	want := parsePage(t, "one", get(t, one, "/").Body.String(), "").figures(t)
	got := parsePage(t, "both", get(t, both, "/").Body.String(), "").figures(t)
	for _, name := range []string{"owners", "pii", "everything", "invites", "ungrouped", "every-source", "people"} {
		if list := "/list?name=" + name; want[list] == 0 || got[list] != want[list] {
			t.Errorf("the figure of %s is %d for both workspaces, want %d", name, got[list], want[list])
		}
	}
	if list := "/list?name=roles"; got[list] != 2*want[list] {
		t.Errorf("the figure of roles is %d, want %d", got[list], 2*want[list])
	}
}

// A thing whose name is the text of a search comes first, whichever workspace it is in.
func TestSearch_ExactMatchOfAnotherWorkspaceIsFirst(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	ws.Users[0].Name = "User"
	h := newHandler(t, New("test", Source{Snapshot: read(t, sized()), From: "Segment"}, Source{Snapshot: read(t, ws), From: "Segment"}))
	rows := rowsOf(parsePage(t, "search", get(t, h, "/search?q=uSER").Body.String(), "").root, rowsPerPage)
	if len(rows) != maxFound || !strings.Contains(fmt.Sprint(rows[0]), ws.Users[0].Email) {
		t.Errorf("of %d rows the first is %q, want that of %s", len(rows), rows[0], ws.Users[0].Email)
	}
}

// The overview says what no page includes: types that the plan lacks, and permissions that
// have no meaning here.
func TestOverview_SaysWhatIsNotIncluded(t *testing.T) {
	t.Parallel()
	snapshot := *read(t, sim.Demo())
	snapshot.Skipped, snapshot.Unknown = []string{access.TypeSpace}, map[string]int{"JOURNEY": 2, "<b>": 1}
	s := New("test", Source{Snapshot: &snapshot, From: "Segment"})
	inReport, _ := reportOf(t, s)
	for name, p := range map[string]parsedPage{"server": parsePage(t, "/", get(t, newHandler(t, s), "/").Body.String(), ""), "report": inReport} {
		var got []string
		for _, f := range factsOf(p.root) {
			if f.name == "Not included" {
				got = append(got, f.value)
			}
		}
		want := []string{
			"not read, because the workspace's plan or a feature is missing: space",
			"permissions on unknown types of resources, which no answer includes: <b> (1), JOURNEY (2)",
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// The page of changes names the workspaces that were not compared.
func TestChanges_NameWorkspacesWithoutAnEarlierFile(t *testing.T) {
	t.Parallel()
	s := New("test", sources(t)["several"]...)
	got := map[string]string{}
	for _, f := range factsOf(parsePage(t, "changes", get(t, newHandler(t, s), "/changes").Body.String(), "").root) {
		got[f.name] = f.value
	}
	demo, hostile := wording.Plain(s.workspaces[0].WorkspaceThing().Name), wording.Plain(s.workspaces[1].WorkspaceThing().Name)
	if !strings.Contains(got[demo], "earlier.c1z") || got[hostile] != "not compared: no earlier file was given" {
		t.Errorf("the facts are %q", got)
	}
}

// The page of a group without members has a picture of what the group holds.
func TestGroup_WithoutMembersHasPicture(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	for i := range ws.Groups {
		ws.Groups[i].Members = nil
	}
	s := New("test", Source{Snapshot: read(t, ws), From: "Segment"})
	w, h := s.workspaces[0], newHandler(t, s)
	for _, g := range w.Groups {
		p := parsePage(t, g.ID, get(t, h, s.served(w.address(access.TypeGroup, g.ID))).Body.String(), "")
		if pictures, held := len(elements(p.root, "svg")), len(w.GroupHolds(g.ID)); (pictures == 1) != (held > 0) {
			t.Errorf("%s holds %d roles and has %d pictures", g.Name, held, pictures)
		}
	}
}

// If more people share a way than the report names, a link leads to the others: to the
// group that the way is through, else to the role.
func TestReport_WayOfManyLeadsToTheOthers(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	source := []sim.Resource{{ID: ws.Sources[0].ID, Type: "SOURCE"}}
	held := []sim.Permission{{RoleID: ws.Roles[0].ID, RoleName: ws.Roles[0].Name, Resources: source}}
	for i := range ws.Users {
		ws.Groups[0].Members = append(ws.Groups[0].Members, ws.Users[i].Email)
		ws.Users[i].Permissions = append(ws.Users[i].Permissions, held...)
	}
	ws.Groups[0].Permissions = held
	s := New("test", Source{Snapshot: read(t, ws), From: "Segment"})
	w := s.workspaces[0]
	d, _ := s.thing(w, access.Ref{Type: access.TypeSource, ID: ws.Sources[0].ID}, false)
	to := map[string]bool{}
	table := d.Sections[0].Table
	for _, row := range table.rows(0, table.len()) {
		if last := row[0].More; len(last) == maxNames {
			to[last[maxNames-1].To.thing.Type] = true
		}
	}
	if !to[access.TypeGroup] || !to[access.TypeRole] || len(to) != 2 {
		t.Errorf("the links to the others are to %v", to)
	}
}
