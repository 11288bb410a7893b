package page

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/wording"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// marks are texts that would do something if they were not escaped, or that would make a
// text look like another.
func marks() map[string]string {
	return map[string]string{
		"element":    `<img src=x onerror=alert(1)>`,
		"end":        `</script></style></title></textarea></svg><script>alert(1)</script>`,
		"attribute":  `"><b onmouseover="alert(1)">`,
		"quote":      `' autofocus onfocus='alert(1)`,
		"template":   `{{.}}{{template "page" .}}`,
		"scheme":     `javascript:alert(1)//`,
		"path":       `//evil.example/../%2e%2e/`,
		"reference":  `&lt;i&gt;&#60;i&#62;`,
		"comment":    `<!--`,
		"data":       `<![CDATA[<a>]]><svg onload=alert(1)>`,
		"directions": "\u202eevil\u2066\u200f",
		"controls":   "\x00\x1b[31m\u0085\x7f",
	}
}

// mark returns a snapshot with a text before each name, id, slug, e-mail and description.
// The names of roles have it at their ends, since their first words mean something, and the
// two roles that are found by their names do not have it.
func mark(s *access.Snapshot, text string) *access.Snapshot {
	m := marker(text)
	marked := &access.Snapshot{
		Workspace: segmentapi.Workspace{ID: m.before(s.Workspace.ID), Name: m.before(s.Workspace.Name), Slug: m.before(s.Workspace.Slug)},
		Began:     s.Began, Labels: m.labels(s.Labels), Held: map[access.Ref][]access.Target{},
	}
	for _, p := range s.People {
		marked.People = append(marked.People, access.Person{Type: p.Type, ID: m.before(p.ID), Email: m.before(p.Email), Name: m.before(p.Name)})
	}
	for _, g := range s.Groups {
		group := access.Group{ID: m.before(g.ID), Name: m.before(g.Name)}
		for _, ref := range g.Members {
			group.Members = append(group.Members, m.ref(ref))
		}
		marked.Groups = append(marked.Groups, group)
	}
	for _, r := range s.Roles {
		marked.Roles = append(marked.Roles, segmentapi.Role{ID: m.before(r.ID), Name: m.role(r.Name), Description: m.before(r.Description)})
	}
	for _, r := range s.Resources {
		r.ID, r.Name, r.Slug, r.Labels = m.before(r.ID), m.before(r.Name), m.before(r.Slug), m.labels(r.Labels)
		marked.Resources = append(marked.Resources, r)
	}
	for ref, targets := range s.Held {
		for _, t := range targets {
			marked.Held[m.ref(ref)] = append(marked.Held[m.ref(ref)], m.target(t))
		}
	}
	return marked
}

type marker string

func (m marker) before(s string) string {
	if s == "" {
		return ""
	}
	return string(m) + s
}

func (m marker) role(name string) string {
	if name == "" || name == segmentapi.RoleWorkspaceOwner || name == segmentapi.RolePIIAccess {
		return name
	}
	return name + string(m)
}

func (m marker) ref(r access.Ref) access.Ref { return access.Ref{Type: r.Type, ID: m.before(r.ID)} }

func (m marker) labels(labels []segmentapi.Label) []segmentapi.Label {
	var marked []segmentapi.Label
	for _, l := range labels {
		marked = append(marked, segmentapi.Label{Key: m.before(l.Key), Value: m.before(l.Value), Description: m.before(l.Description)})
	}
	return marked
}

func (m marker) target(t access.Target) access.Target {
	t.ID, t.RoleID, t.RoleName, t.Labels = m.before(t.ID), m.before(t.RoleID), m.role(t.RoleName), m.labels(t.Labels)
	if t.Type == access.TypeLabel {
		t.ID = access.LabelID(t.Labels)
	}
	return t
}

// Names, ids and texts of a workspace are text on each page, and nothing else: the pages
// have the elements and attributes that they have with harmless names.
func TestPages_HostileNamesAreText(t *testing.T) {
	t.Parallel()
	snapshot := read(t, sim.Hostile())
	of := func(text string) *Site {
		before := mark(snapshot, text)
		before.People, before.Groups, before.Roles = before.People[3:], before.Groups[1:], before.Roles[1:]
		return New("test", Source{Snapshot: mark(snapshot, text), From: text, Before: before, BeforeFrom: text})
	}
	harmless, _ := reportOf(t, of("zz"))
	inReport, served := markup(harmless), servedMarkup(crawl(t, of("zz"), "zz"))
	for name, text := range marks() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := of(text)
			p, _ := reportOf(t, s)
			p.check(t)
			if diff := cmp.Diff(inReport, markup(p)); diff != "" {
				t.Errorf("the names change the elements of the report:\n%s", diff)
			}
			pages := crawl(t, s, text)
			for _, p := range pages {
				p.check(t)
			}
			if diff := cmp.Diff(served, servedMarkup(pages)); diff != "" {
				t.Errorf("the names change the elements of the server's pages:\n%s", diff)
			}
			checkShown(t, p, text)
			for target, p := range pages {
				if strings.Contains(target, "?id=") {
					checkShown(t, p, text)
				}
			}
		})
	}
}

// checkShown checks that a page shows a text as it is.
func checkShown(t *testing.T, p parsedPage, text string) {
	t.Helper()
	want := strings.Join(strings.Fields(wording.Plain(text)), " ")
	for _, e := range elements(p.root, "main") {
		if shown := strings.Join(strings.Fields(textOf(e)), " "); !strings.Contains(shown, want) {
			t.Errorf("%s does not show %q: %.300s", p.name, want, shown)
		}
	}
}

// markup counts the elements of a page with the names of their attributes. It notes those
// of pictures once, because their number depends on the widths of texts.
func markup(p parsedPage) map[string]int {
	counts := map[string]int{}
	for _, e := range elements(p.root) {
		if inPicture(e) {
			counts["picture: "+element(e)] = 1
			continue
		}
		counts[element(e)]++
	}
	return counts
}

func element(e *html.Node) string {
	text := e.Data
	for _, a := range e.Attr {
		text += " " + a.Key
	}
	return text
}

func servedMarkup(pages map[string]parsedPage) map[string]int {
	sum := map[string]int{"pages": len(pages)}
	for _, p := range pages {
		for name, n := range markup(p) {
			if sum[name] += n; strings.HasPrefix(name, "picture: ") {
				sum[name] = 1
			}
		}
	}
	return sum
}

// A search shows what was searched for, as text, on the page and in the form.
func TestServe_SearchTextIsEscaped(t *testing.T) {
	t.Parallel()
	s := New("test", Source{Snapshot: read(t, sim.Demo()), From: "demo.c1z"})
	harmless := servedMarkup(crawl(t, s, "no such thing"))
	for name, text := range marks() {
		if diff := cmp.Diff(harmless, servedMarkup(crawl(t, s, text))); diff != "" {
			t.Errorf("%s changes the elements of the page:\n%s", name, diff)
		}
	}
}

// A warning, such as the text of an error, is text.
func TestServe_WarningIsEscaped(t *testing.T) {
	t.Parallel()
	s := New("test", Source{Snapshot: read(t, sim.Demo()), From: "demo.c1z"})
	for name, text := range marks() {
		h := newHandlerOf(t, func() (*Site, string) { return s, text })
		w := get(t, h, "/")
		p := parsePage(t, name, w.Body.String(), w.Header().Get("Content-Security-Policy"))
		alerts := 0
		for _, e := range elements(p.root, "p") {
			if attribute(e, "role") == "alert" {
				alerts++
				if n := len(elements(e)); n > 0 {
					t.Errorf("%s: the warning has %d elements", name, n)
				}
			}
		}
		if alerts != 1 {
			t.Errorf("%s: %d warnings", name, alerts)
		}
	}
}
