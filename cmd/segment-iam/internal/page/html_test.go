package page

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/html"
)

// A parsedPage is HTML as a browser understands it.
type parsedPage struct {
	name string
	root *html.Node
	// policy is the Content-Security-Policy.
	policy string
}

func parsePage(t *testing.T, name, body, policy string) parsedPage {
	t.Helper()
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return parsedPage{name: name, root: root, policy: policy}
}

// elements returns the elements of some names below a node, or all if none is given, in
// the order of the document.
func elements(n *html.Node, names ...string) []*html.Node {
	var found []*html.Node
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && (len(names) == 0 || slices.Contains(names, d.Data)) {
			found = append(found, d)
		}
	}
	return found
}

// textOf returns the text below a node. White space at its ends is left out.
func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.TrimSpace(b.String())
}

// inPicture reports whether an element is part of a picture.
func inPicture(e *html.Node) bool { return e.Namespace == "svg" }

// attribute returns the value of an attribute, or nothing.
func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// links returns the targets of all links.
func (p parsedPage) links() []string {
	var links []string
	for _, a := range elements(p.root) {
		if href := attribute(a, "href"); href != "" {
			links = append(links, href)
		}
	}
	return links
}

// check checks all that holds for every page.
func (p parsedPage) check(t *testing.T) {
	t.Helper()
	p.checkOutline(t)
	p.checkReferences(t)
	p.checkFetchesNothing(t)
	p.checkText(t)
}

// checkOutline checks what assistive technology navigates by.
func (p parsedPage) checkOutline(t *testing.T) {
	t.Helper()
	for _, name := range []string{"html", "title", "main", "h1"} {
		if n := len(slices.DeleteFunc(elements(p.root, name), inPicture)); n != 1 {
			t.Errorf("%s has %d of the element %s", p.name, n, name)
		}
	}
	for _, e := range elements(p.root, "html") {
		if attribute(e, "lang") == "" {
			t.Errorf("%s has no language", p.name)
		}
	}
	level := 0
	for _, h := range elements(p.root, "h1", "h2", "h3", "h4", "h5", "h6") {
		next := int(h.Data[1] - '0')
		if next > level+1 {
			t.Errorf("%s: <h%d> %q follows <h%d>", p.name, next, textOf(h), level)
		}
		level = next
	}
	for _, e := range elements(p.root, "title", "h1", "h2", "h3", "h4", "a", "caption", "th", "dt", "label", "button") {
		if textOf(e) == "" {
			t.Errorf("%s: <%s> %v has no text", p.name, e.Data, e.Attr)
		}
	}
	for _, table := range elements(p.root, "table") {
		columns := len(elements(table, "th"))
		for _, row := range elements(table, "tr")[1:] {
			if cells := len(elements(row, "td")); cells != columns {
				t.Errorf("%s: a row has %d cells under %d columns: %s", p.name, cells, columns, textOf(row))
			}
		}
	}
}

// checkReferences checks that ids are unique, and that all references within the page
// lead to one.
func (p parsedPage) checkReferences(t *testing.T) {
	t.Helper()
	ids := map[string]int{}
	for _, e := range elements(p.root) {
		if id := attribute(e, "id"); id != "" {
			ids[id]++
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%s has the id %q %d times", p.name, id, n)
		}
	}
	for _, e := range elements(p.root) {
		for _, name := range []string{"aria-labelledby", "aria-describedby", "aria-controls", "for", "list", "headers"} {
			for _, id := range strings.Fields(attribute(e, name)) {
				if ids[id] == 0 {
					t.Errorf("%s: %s of <%s> refers to %q, which is not there", p.name, name, e.Data, id)
				}
			}
		}
		if id, isFragment := strings.CutPrefix(attribute(e, "href"), "#"); isFragment && ids[id] == 0 {
			t.Errorf("%s: a link to #%s leads nowhere", p.name, id)
		}
	}
}

// fetching are elements that load or run something, or that change where links lead.
var fetching = []string{ //nolint:gochecknoglobals // Constant.
	"img", "image", "picture", "iframe", "frame", "object", "embed", "applet", "link", "base", "audio", "video", "source", "track",
	"use", "foreignobject", "foreignObject", "animate", "set", "portal", "template", "noscript", "math",
}

// checkFetchesNothing checks that the page loads nothing and runs only the script whose
// checksum is in its policy.
func (p parsedPage) checkFetchesNothing(t *testing.T) {
	t.Helper()
	for _, directive := range []string{"default-src 'none'", "base-uri 'none'"} {
		if !strings.Contains(p.policy, directive) {
			t.Errorf("%s: the policy lacks %s: %s", p.name, directive, p.policy)
		}
	}
	if strings.Contains(p.policy, "unsafe-") || strings.Contains(p.policy, "*") || strings.Contains(p.policy, "http") {
		t.Errorf("%s: the policy allows too much: %s", p.name, p.policy)
	}
	for _, e := range elements(p.root, fetching...) {
		t.Errorf("%s has the element <%s>", p.name, e.Data)
	}
	for _, e := range elements(p.root, "script", "style") {
		var b strings.Builder
		for d := range e.Descendants() {
			b.WriteString(d.Data)
		}
		sum := sha256.Sum256([]byte(b.String()))
		if !strings.Contains(p.policy, e.Data+"-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
			t.Errorf("%s: the policy does not have the checksum of a <%s>: %.60s", p.name, e.Data, b.String())
		}
		if e.Data == "style" && (strings.Contains(b.String(), "url(") || strings.Contains(b.String(), "@import")) {
			t.Errorf("%s: the style refers to something else", p.name)
		}
	}
	for _, e := range elements(p.root) {
		for _, a := range e.Attr {
			p.checkAttribute(t, e, a)
		}
	}
}

func (p parsedPage) checkAttribute(t *testing.T, e *html.Node, a html.Attribute) {
	t.Helper()
	bad := strings.HasPrefix(a.Key, "on") ||
		slices.Contains([]string{"style", "src", "srcset", "srcdoc", "formaction", "background", "poster", "data", "ping", "manifest", "target", "autofocus"}, a.Key)
	switch a.Key {
	case "href":
		// A path of two slashes would lead to another host.
		bad = !strings.HasPrefix(a.Val, "#") && (!strings.HasPrefix(a.Val, "/") || strings.HasPrefix(a.Val, "//") || strings.Contains(a.Val, `\`))
	case "action":
		bad = a.Val != "/search"
	case "http-equiv":
		bad = a.Val != "Content-Security-Policy"
	case "rel":
		bad = a.Val != "prev" && a.Val != "next"
	}
	if bad || strings.Contains(a.Val, "url(") && !strings.HasPrefix(a.Val, "url(#") && e.Data != "a" && a.Key != "value" && !strings.HasPrefix(a.Key, "aria-") {
		t.Errorf("%s: <%s> has the attribute %s=%q", p.name, e.Data, a.Key, a.Val)
	}
}

// checkText checks that no text has characters that make it look like another.
func (p parsedPage) checkText(t *testing.T) {
	t.Helper()
	hidden := func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Bidi_Control, r)
	}
	for d := range p.root.Descendants() {
		if d.Type == html.CommentNode {
			t.Errorf("%s has the comment %q", p.name, d.Data)
		}
		if d.Type == html.TextNode && strings.ContainsFunc(d.Data, hidden) {
			t.Errorf("%s: <%s> has the text %q", p.name, d.Parent.Data, d.Data)
		}
		for _, a := range d.Attr {
			if strings.ContainsFunc(a.Val, hidden) {
				t.Errorf("%s: <%s> has the attribute %s=%q", p.name, d.Data, a.Key, a.Val)
			}
		}
	}
}

// figures returns the figures of an overview by the addresses of their lists: those of
// the cards, and those of the table of all lists.
func (p parsedPage) figures(t *testing.T) map[string]int {
	t.Helper()
	figures := map[string]int{}
	add := func(link *html.Node, number string) {
		n, err := strconv.Atoi(number)
		if _, repeated := figures[attribute(link, "href")]; err != nil || repeated {
			t.Errorf("%s: a figure of %s is %q", p.name, attribute(link, "href"), number)
		}
		figures[attribute(link, "href")] = n
	}
	for _, ul := range elements(p.root, "ul") {
		if attribute(ul, "class") == "cards" {
			for _, a := range elements(ul, "a") {
				add(a, textOf(elements(a, "b")[0]))
			}
		}
	}
	if len(figures) == 0 {
		t.Errorf("%s has no cards", p.name)
	}
	for _, table := range elements(p.root, "table") {
		for _, tr := range elements(table, "tr") {
			if cells := elements(tr, "td"); len(cells) == 2 && textOf(elements(table, "caption")[0]) == "All lists" {
				add(elements(tr, "a")[0], textOf(cells[1]))
			}
		}
	}
	return figures
}

// A factOf is a term of a list of facts, its description, and the first link in it.
type factOf struct{ name, value, href string }

func factsOf(n *html.Node) []factOf {
	var facts []factOf
	name := ""
	for _, e := range elements(n, "dt", "dd") {
		if e.Data == "dt" {
			name = textOf(e)
			continue
		}
		f := factOf{name: name, value: textOf(e)}
		if links := elements(e, "a"); len(links) > 0 {
			f.href = attribute(links[0], "href")
		}
		facts = append(facts, f)
	}
	return facts
}

// rowsOf returns the text of each cell of the tables below a node, of the first rows of
// each table.
func rowsOf(n *html.Node, most int) [][]string {
	var rows [][]string
	for _, body := range elements(n, "tbody") {
		all := elements(body, "tr")
		for _, tr := range all[:min(len(all), most)] {
			var row []string
			for _, td := range elements(tr, "td") {
				row = append(row, textOf(td))
			}
			rows = append(rows, row)
		}
	}
	return rows
}
