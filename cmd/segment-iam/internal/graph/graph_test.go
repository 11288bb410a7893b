package graph_test

import (
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/graph"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func link(t access.Thing) string { return "/" + t.Type + "/" + url.PathEscape(t.ID) }

func draw(paths []access.Path) string {
	return string(graph.SVG(paths, graph.Options{Link: link, ID: "g", Title: "A title"}))
}

func snapshot(t *testing.T, ws *sim.Workspace) *access.Snapshot {
	t.Helper()
	s := sim.New(ws)
	client, err := segmentapi.New(s.Token(), segmentapi.WithHTTPClient(simtest.Client(s)))
	if err != nil {
		t.Fatal(err)
	}
	read, err := access.Read(t.Context(), client, access.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// answers returns what there is to ask about a workspace, by the question.
func answers(s *access.Snapshot) map[string][]access.Path {
	all := map[string][]access.Path{"owners": s.Owners()}
	for _, m := range s.Things(access.TypeSource, access.TypeFunction, access.TypeSpace, access.TypeWarehouse, access.TypeRole, access.TypeLabel, access.TypeGroup) {
		all["who "+m.Type+" "+m.ID] = s.Who(m.Thing)
	}
	for _, p := range s.People {
		_, all["what "+p.ID] = s.What(p.Ref())
	}
	return all
}

// Each answer is read back from its picture. Nothing is summarised if there are no more
// than 30 people, and the picture has the given paths and no others.
func TestSVG_Answers(t *testing.T) {
	t.Parallel()
	for name, ws := range map[string]*sim.Workspace{"demo": sim.Demo(), "hostile": sim.Hostile()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for question, paths := range answers(snapshot(t, ws)) {
				if len(paths) == 0 {
					if svg := draw(paths); svg != "" {
						t.Errorf("%s: no paths are drawn as %s", question, svg)
					}
					continue
				}
				svg := draw(paths)
				p := read(t, svg)
				checkShape(t, p)
				if len(people(paths)) <= 30 {
					checkPaths(t, p, paths)
				}
				if svg != draw(paths) {
					t.Errorf("%s: drawn differently again", question)
				}
				if name == "demo" && len(svg) > 600+200*len(p.boxes) {
					t.Errorf("%s: %d bytes for %d nodes", question, len(svg), len(p.boxes))
				}
			}
		})
	}
}

func people(paths []access.Path) map[access.Ref]bool {
	all := map[access.Ref]bool{}
	for _, p := range paths {
		all[p.Person.Ref()] = true
	}
	return all
}

// checkPaths checks that the lines of a picture form the paths, each once, and no others.
func checkPaths(t tb, p picture, paths []access.Path) {
	t.Helper()
	walks := p.walks(t)
	for i := range walks {
		w := &walks[i]
		if strings.Contains(w.roleText, "\nif labeled") != w.labeled {
			t.Errorf("a role is %q and its dashes mean %v", w.roleText, w.labeled)
		}
		name, _, _ := strings.Cut(w.roleText, "\n")
		w.roleText = ""
		if strings.HasSuffix(name, " *") {
			w.roleText = "*"
		}
	}
	if diff := cmp.Diff(sorted(expected(paths)), sorted(walks), cmp.AllowUnexported(walk{})); diff != "" {
		t.Fatalf("paths (-want +got):\n%s", diff)
	}
	seen := map[string]bool{}
	for _, b := range p.boxes {
		if b.column != "Role" && seen[b.href] {
			t.Errorf("%s is drawn twice", b.href)
		}
		seen[b.href] = true
		if invited := strings.Contains(strings.Join(b.lines, " "), "invite, when accepted") || strings.Contains(b.title, "invite, when accepted"); b.column == "Person" && invited != strings.HasPrefix(b.href, "/invite/") {
			t.Errorf("%s: the text is %q", b.href, b.lines)
		}
	}
	if want := len(people(paths)); len(seen) < want {
		t.Errorf("%d of %d people", len(seen), want)
	}
}

// checkShape checks what holds for every picture.
func checkShape(t tb, p picture) {
	t.Helper()
	columns := map[string]int{}
	points := make([][]point, len(p.curves))
	for i, c := range p.curves {
		points[i] = c.points()
	}
	for i, b := range p.boxes {
		if columns[b.column]++; b.column != "Person" && columns[b.column] > 30 {
			t.Errorf("the column %q has more than 30 nodes", b.column)
		}
		for _, other := range p.boxes[:i] {
			if b.left < other.right && other.left < b.right && b.top < other.bottom+4 && other.top < b.bottom+4 {
				t.Errorf("the boxes %q and %q overlap", b.lines, other.lines)
			}
		}
		for k, c := range p.curves {
			for _, at := range points[k] {
				if b.left < at.x && at.x < b.right && b.top < at.y && at.y < b.bottom {
					t.Errorf("the line %v runs through the box %q", c, b.lines)
					break
				}
			}
		}
		width, height := number(t, p.svg.attrs["width"]), number(t, p.svg.attrs["height"])
		if b.left < 0 || b.right > width || b.top < 20 || b.bottom > height {
			t.Errorf("the box %q is outside the picture", b.lines)
		}
	}
	if len(p.boxes) > 150 {
		t.Errorf("%d nodes", len(p.boxes))
	}
	if drawn := slices.Compact(slices.SortedFunc(slices.Values(p.curves), func(a, b curve) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })); len(drawn) != len(p.curves) {
		t.Errorf("%d lines are drawn twice", len(p.curves)-len(drawn))
	}
	checkElements(t, p.svg)
}

func checkElements(t tb, svg *element) {
	t.Helper()
	ids := map[string]bool{}
	for _, e := range svg.all() {
		if !slices.Contains([]string{"svg", "title", "desc", "g", "a", "path", "clipPath", "rect", "text"}, e.name) {
			t.Errorf("an element %s", e.name)
		}
		for name, value := range e.attrs {
			if name == "style" || strings.HasPrefix(name, "on") {
				t.Errorf("%s has the attribute %s", e.name, name)
			}
			if name == "id" && ids[value] {
				t.Errorf("the id %s is there twice", value)
			}
			if name == "id" {
				ids[value] = true
			}
		}
		for _, r := range e.text {
			if unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Bidi_Control, r) {
				t.Errorf("the text %q has the character %U", e.text, r)
			}
		}
		if e.name == "text" && strings.TrimSpace(e.text) == "" {
			t.Errorf("an empty text")
		}
	}
	for _, e := range svg.all() {
		for _, name := range []string{"aria-labelledby", "aria-describedby"} {
			if ref := e.attrs[name]; ref != "" && !ids[ref] {
				t.Errorf("%s refers to %s, which is not there", name, ref)
			}
		}
	}
}

// badNames are names that could break the text, the markup or the picture.
func badNames() []string {
	ws := sim.Hostile()
	names := []string{
		"", "   ", "\x00\x01", "\xff\xfe", "\ufffe\uffff", "a\u202eb", "\u200b", "\u2028", "\u0301", strings.Repeat("\u0301", 1000), "Z" + strings.Repeat("\u0353", 200),
		"</text></svg><script>alert(1)</script>", `" onload="alert(1)`, "]]>", "&amp;&#0;", strings.Repeat("W", 10_000), strings.Repeat("漢", 10_000), strings.Repeat("👩‍", 5_000), "﷽﷽﷽", "\U0001F468\u200D",
	}
	for _, u := range ws.Users {
		names = append(names, u.Name, u.Email)
	}
	for _, r := range ws.Roles {
		names = append(names, r.Name)
	}
	return names
}

// drawPaths makes paths as an answer has them: all members of a group have the same.
func drawPaths(t *rapid.T) []access.Path {
	name := rapid.OneOf(rapid.SampledFrom(badNames()), rapid.String(), rapid.SampledFrom([]string{"Ada Lindqvist", "Web Engineers", "Source Admin", "Web Shop"}))
	kind := rapid.SampledFrom([]string{access.TypeSource, access.TypeLabel, access.TypeWorkspace, "of no kind"})
	id := func(i int) string {
		return fmt.Sprintf("%d %s", i, rapid.SampledFrom([]string{"", "<", "漢"}).Draw(t, "id"))
	}
	rows := func(what string, least, most int, add func(i int)) {
		for i := range rapid.IntRange(least, most).Draw(t, what) {
			add(i)
		}
	}
	var (
		persons []access.Person
		groups  []access.Thing
		grants  []access.Path
		paths   []access.Path
	)
	rows("people", 1, 30, func(i int) {
		p := access.Person{Type: access.TypeUser, ID: id(i), Name: name.Draw(t, "name"), Email: name.Draw(t, "email")}
		if rapid.IntRange(0, 3).Draw(t, "invite") == 0 {
			p.Type = access.TypeInvite
		}
		persons = append(persons, p)
	})
	rows("groups", 0, 4, func(i int) {
		groups = append(groups, access.Thing{Type: access.TypeGroup, ID: id(i), Name: name.Draw(t, "group")})
	})
	rows("grants", 1, 5, func(int) {
		heldOn := rapid.IntRange(0, 4).Draw(t, "held on")
		roleName := strings.ReplaceAll(name.Draw(t, "role name"), "*", "+") // A star is the mark of ByName.
		grants = append(grants, access.Path{
			Role:   access.RoleRef{ID: fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "role")), Name: roleName},
			HeldOn: access.Thing{Type: kind.Draw(t, "type"), ID: fmt.Sprint(heldOn), Name: name.Draw(t, "held on name")},
			ByName: rapid.Bool().Draw(t, "by name"),
			When:   rapid.SampledFrom([]access.When{access.Now, access.Now, access.IfLabeled}).Draw(t, "when"),
		})
	})
	add := func(grant access.Path, p access.Person, group *access.Thing) {
		grant.Person, grant.Group = p, group
		if p.Type == access.TypeInvite && grant.When == access.Now {
			grant.When = access.WhenAccepted
		}
		paths = append(paths, grant)
	}
	for _, p := range persons {
		rows("direct", 0, 2, func(int) { add(rapid.SampledFrom(grants).Draw(t, "direct"), p, nil) })
	}
	for _, g := range groups {
		held := rapid.SliceOfN(rapid.SampledFrom(grants), 1, 3).Draw(t, "held")
		for _, p := range persons {
			if rapid.IntRange(0, 2).Draw(t, "member") == 0 {
				for _, grant := range held {
					add(grant, p, &g)
				}
			}
		}
	}
	return paths
}

// Pictures of any paths are XML that has the paths, each once, and nothing else.
func TestSVG_AnyPaths(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		paths := drawPaths(t)
		if len(paths) == 0 {
			return
		}
		p := read(t, draw(paths))
		checkShape(t, p)
		checkPaths(t, p, paths)
	})
}

// The title and the links are as hostile as names.
func TestSVG_HostileOptions(t *testing.T) {
	t.Parallel()
	paths := []access.Path{{Person: access.Person{Type: access.TypeUser, ID: "1", Name: "Ada"}, Role: access.RoleRef{ID: "r", Name: "R"}, HeldOn: access.Thing{Type: access.TypeSource, ID: "s"}}}
	for _, name := range badNames() {
		checkElements(t, parse(t, string(graph.SVG(paths, graph.Options{ID: "g", Title: name, Link: func(access.Thing) string { return name }}))))
	}
	if svg := string(graph.SVG(paths, graph.Options{ID: "g"})); strings.Contains(svg, "<a") {
		t.Errorf("a link to nowhere: %s", svg)
	}
}

// A name that is too long is cut, and is in the title in full.
func TestSVG_LongNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("Ada Lindqvist ", 700) + "the Last"
	path := access.Path{Person: access.Person{Type: access.TypeUser, ID: "1", Name: long}, Role: access.RoleRef{ID: "r", Name: "R"}, HeldOn: access.Thing{Type: access.TypeSource, ID: "s", Name: "S"}}
	b := read(t, draw([]access.Path{path})).boxes[0]
	if b.title != long {
		t.Errorf("the title has %d bytes of %d", len(b.title), len(long))
	}
	if text, cut := strings.CutSuffix(b.lines[0], "…"); !cut || !strings.HasPrefix(long, text) || len(text) < 15 || b.right-b.left > 220 {
		t.Errorf("the text is %q, in a box %d wide", b.lines[0], b.right-b.left)
	}
}

// People of the same name are told apart by their e-mails, other things by their ids.
func TestSVG_SameNames(t *testing.T) {
	t.Parallel()
	var paths []access.Path
	for _, n := range []string{"1", "2"} {
		paths = append(paths, access.Path{
			Person: access.Person{Type: access.TypeUser, ID: n, Name: "Ada", Email: "ada" + n + "@example.com"}, Group: &access.Thing{Type: access.TypeGroup, ID: "g" + n, Name: "Same"},
			Role: access.RoleRef{ID: "r", Name: "R"}, HeldOn: access.Thing{Type: access.TypeSource, ID: "s", Name: "S"},
		})
	}
	var lines []string
	for _, b := range read(t, draw(paths)).boxes {
		lines = append(lines, strings.Join(b.lines, "|"))
	}
	want := []string{"Ada|ada1@example.com", "Ada|ada2@example.com", "Same|g1", "Same|g2", "R", "S|source"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("boxes (-want +got):\n%s", diff)
	}
}

// The paths of a group itself have no people.
func TestSVG_NoPeople(t *testing.T) {
	t.Parallel()
	var paths []access.Path
	for _, s := range []string{"s1", "s2"} {
		paths = append(paths, access.Path{
			Group: &access.Thing{Type: access.TypeGroup, ID: "g", Name: "Group"}, Role: access.RoleRef{ID: "r", Name: "R"},
			HeldOn: access.Thing{Type: access.TypeSource, ID: s, Name: s},
		})
	}
	p := read(t, draw(paths))
	checkShape(t, p)
	var lines []string
	for _, b := range p.boxes {
		lines = append(lines, b.column+"|"+strings.Join(b.lines, "|"))
	}
	if diff := cmp.Diff([]string{"Group|Group", "Role|R", "Held on|s1|source", "Held on|s2|source"}, lines); diff != "" || len(p.curves) != 3 {
		t.Errorf("%d lines, boxes (-want +got):\n%s", len(p.curves), diff)
	}
}

// More than 30 people are counted by group and by what they hold themselves.
func TestSVG_ManyPeople(t *testing.T) {
	t.Parallel()
	group := &access.Thing{Type: access.TypeGroup, ID: "g", Name: "Group"}
	var paths []access.Path
	for i := range 40 {
		p := access.Path{Person: access.Person{Type: access.TypeUser, ID: fmt.Sprint(i)}, Role: access.RoleRef{ID: "r", Name: "R"}, HeldOn: access.Thing{Type: access.TypeSource, ID: "s", Name: "S"}}
		if i%10 == 0 {
			p.Person.Type, p.When = access.TypeInvite, access.WhenAccepted
		}
		if i < 30 {
			p.Group = group
		}
		paths = append(paths, p)
		if i == 29 { // Both ways.
			p.Group = nil
			paths = append(paths, p)
		}
	}
	for i := range 100 {
		p := paths[30]
		p.HeldOn.ID, p.HeldOn.Name = fmt.Sprint(i), fmt.Sprintf("A source %02d", i)
		if i == 50 {
			p.HeldOn.Type = access.TypeWarehouse
		}
		paths = append(paths, p)
	}
	svg := draw(paths)
	var lines []string
	for _, b := range read(t, svg).boxes {
		if b.column != "Held on" || b.href == "" || b.href == "/source/s" {
			lines = append(lines, strings.Join(b.lines, "|"))
		}
	}
	slices.Sort(lines)
	want := []string{"1 person|directly", "11 people|directly, including 1 invite", "30 people|including 3 invites", "Group", "R", "R", "S|source", "and 1 more warehouse", "and 72 more sources"}
	if diff := cmp.Diff(want, lines); diff != "" || !strings.Contains(svg, ">Person (40)<") {
		t.Errorf("boxes (-want +got):\n%s\n%s", diff, svg)
	}
}

// The size of a picture has a limit, however many paths there are.
func TestSVG_Size(t *testing.T) {
	t.Parallel()
	for name, paths := range many() {
		svg := draw(paths)
		checkShape(t, read(t, svg))
		if len(svg) > 20_000 {
			t.Errorf("%s: %d bytes", name, len(svg))
		}
	}
}

func TestSVG_Golden(t *testing.T) {
	t.Parallel()
	s := snapshot(t, sim.Demo())
	space := s.Find("marketing", access.TypeSpace)[0].Thing
	_, rosa := s.What(access.Ref{Type: access.TypeUser, ID: s.Find("rosa.jimenez@example.com", access.TypeUser)[0].ID})
	for name, paths := range map[string][]access.Path{"who-space": s.Who(space), "what-user": rosa, "who-group": s.Who(s.Find("Data Platform", access.TypeGroup)[0].Thing)} {
		file := filepath.Join("testdata", name+".svg")
		got := draw(paths) + "\n"
		if *update {
			if err := errors.Join(os.MkdirAll("testdata", 0o750), os.WriteFile(file, []byte(got), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
		if len(got) > 3000 {
			t.Errorf("%s: %d bytes", name, len(got))
		}
	}
}

// Texts are one line of visible characters. If the width of characters is not known, the
// column is clipped.
func TestSVG_Text(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		clipped    bool
	}{
		{"Zoë Łukasz", "Zoë Łukasz", false},
		{" a\u202eb\nc\u2028d\u00a0 ", "a b c d", false},
		{"a\u200bb\u00adc", "abc", false},
		{"a\x00\xffb", "a \ufffdb", true},
		{"A" + strings.Repeat("\u0301", 9), "A\u0301\u0301\u0301", false},
		{"👩\u200d👧", "👩\u200d👧", false},
		{"Иван Иванов", "Иван Иванов", true},
		{"﷽", "﷽", true},
		{"\u202e", "1", false},
		{strings.Repeat("漢", 20), strings.Repeat("漢", 13) + "…", false},
		{strings.Repeat("👩\u200d", 20), strings.Repeat("👩\u200d", 12) + "👩…", false},
	} {
		path := access.Path{
			Person: access.Person{Type: access.TypeUser, ID: "1", Name: c.name},
			Role:   access.RoleRef{ID: "r"}, HeldOn: access.Thing{Type: access.TypeSource, ID: "s"},
		}
		svg := draw([]access.Path{path})
		if got := read(t, svg).boxes[0].lines[0]; got != c.want {
			t.Errorf("%+q is drawn as %+q, want %+q", c.name, got, c.want)
		}
		if got := strings.Contains(svg, `<clipPath id="g-0">`) && strings.Contains(svg, `clip-path="url(#g-0)"`); got != c.clipped {
			t.Errorf("%+q: clipped: %v", c.name, got)
		}
	}
}

// A line that stands for several paths has a condition only if all have it.
func TestSVG_Conditions(t *testing.T) {
	t.Parallel()
	path := access.Path{
		Person: access.Person{Type: access.TypeUser, ID: "1", Name: "Ada"}, Role: access.RoleRef{ID: "r", Name: "R"},
		HeldOn: access.Thing{Type: access.TypeSource, ID: "s", Name: "S"}, When: access.WhenAccepted,
	}
	now := path
	now.When = access.Now
	var roles, invites []access.Path
	for i := range 40 {
		p := now
		p.Role.ID, p.Role.Name = fmt.Sprint(i), fmt.Sprintf("Role %02d", i)
		if i > 35 {
			p.When = access.IfLabeled
		}
		roles = append(roles, p)
		p = path
		p.Person.Type, p.Person.ID = access.TypeInvite, fmt.Sprint(i)
		invites = append(invites, p)
	}
	for _, c := range []struct {
		name   string
		paths  []access.Path
		column string
		line   string // The last of the last node of the column.
		dashes string
	}{
		{"a user who is to accept", []access.Path{path}, "Person", "when accepted", acceptedDashes},
		{"now first", []access.Path{now, path}, "Person", "Ada", ""},
		{"now last", []access.Path{path, now}, "Person", "Ada", ""},
		{"many roles", roles, "Role", "and 11 more roles", ""},
		{"many labeled roles", roles[36:], "Role", "if labeled", labeledDashes},
		{"many invites", invites, "Person", "directly, when accepted", acceptedDashes},
		{"many invites and a user", append(invites, now), "Person", "directly, including 40 invites", ""},
	} {
		p := read(t, draw(c.paths))
		var last box
		for _, b := range p.boxes {
			if b.column == c.column {
				last = b
			}
		}
		if got := last.lines[len(last.lines)-1]; got != c.line {
			t.Errorf("%s: the text is %q, want %q", c.name, got, c.line)
		}
		for _, line := range p.curves {
			if line.from == (point{last.right, (last.top + last.bottom) / 2}) && line.dashes != c.dashes {
				t.Errorf("%s: the dashes are %q, want %q", c.name, line.dashes, c.dashes)
			}
		}
	}
}
