package graph_test

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// A tb is a testing.T or a rapid.T.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

var (
	_ tb = (*testing.T)(nil)
	_ tb = (*rapid.T)(nil)
)

// An element is an element of XML.
type element struct {
	name     string
	attrs    map[string]string
	text     string
	children []*element
}

// parse reads a document. It knows no HTML, so its input must be XML.
func parse(t tb, document string) *element {
	t.Helper()
	root := &element{}
	open := []*element{root}
	for d := xml.NewDecoder(strings.NewReader(document)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("not XML: %v\n%s", err, document)
		}
		parent := open[len(open)-1]
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{name: token.Name.Local, attrs: map[string]string{}}
			for _, a := range token.Attr {
				e.attrs[a.Name.Local] = a.Value
			}
			parent.children = append(parent.children, e)
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			parent.text += string(token)
		}
	}
	if len(root.children) != 1 || root.children[0].name != "svg" {
		t.Fatalf("not one SVG: %s", document)
	}
	return root.children[0]
}

// all returns e and the elements in it.
func (e *element) all() []*element {
	found := []*element{e}
	for _, c := range e.children {
		found = append(found, c.all()...)
	}
	return found
}

func number(t tb, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%q is no number", s)
	}
	return n
}

type point struct{ x, y int }

// A box is a node as it is drawn.
type box struct {
	column                   string
	left, top, right, bottom int
	lines                    []string
	title, href              string
}

// A curve is an edge, or one half of it, as it is drawn: a horizontal line and then a
// curve, or one of these.
type curve struct {
	from, turn, to point
	dashes         string
}

// A picture is an SVG that was read back.
type picture struct {
	svg    *element
	boxes  []box
	curves []curve
}

func read(t tb, document string) picture {
	t.Helper()
	p := picture{svg: parse(t, document)}
	for _, e := range p.svg.all() {
		if e.attrs["class"] == "edge" {
			p.curves = append(p.curves, curves(t, e)...)
		}
		if x, ok := strings.CutPrefix(e.attrs["transform"], "translate("); ok {
			p.boxes = append(p.boxes, boxes(t, e, number(t, strings.TrimSuffix(x, ")")))...)
		}
	}
	return p
}

func boxes(t tb, column *element, x int) []box {
	t.Helper()
	var found []box
	heading := column.children[0]
	if heading.attrs["class"] != "head" {
		t.Errorf("a column begins with %v", heading)
	}
	name, _, _ := strings.Cut(heading.text, " (")
	for _, group := range column.children[1:] {
		if group.name == "rect" { // Neither a link nor in need of a title.
			t.Errorf("a rectangle outside a group")
		}
		b := box{column: name, left: x, href: group.attrs["href"]}
		for _, e := range group.children {
			switch e.name {
			case "title":
				b.title = e.text
			case "rect":
				b.top, b.right = number(t, e.attrs["y"]), x+number(t, e.attrs["width"])
				b.bottom = b.top + number(t, e.attrs["height"])
			case "text":
				b.lines = append(b.lines, e.text)
				if y := number(t, e.attrs["y"]); y-12 < b.top || y+3 > b.bottom {
					t.Errorf("the text %q is not in its box", e.text)
				}
			}
		}
		found = append(found, b)
	}
	return found
}

// curves reads the commands of a path. There are "M x y", "h dx" and "c dx 0 dx dy dx dy".
func curves(t tb, path *element) []curve {
	t.Helper()
	var found []curve
	for _, part := range strings.Split(path.attrs["d"], "M")[1:] {
		var c curve
		move, rest := part, ""
		if i := strings.IndexAny(part, "hc"); i >= 0 {
			move, rest = part[:i], part[i:]
		}
		scan(t, move, "%d %d", &c.from.x, &c.from.y)
		c.turn, c.dashes = c.from, path.attrs["stroke-dasharray"]
		if line, ok := strings.CutPrefix(rest, "h"); ok {
			length, after, bent := strings.Cut(line, "c")
			c.turn.x += number(t, length)
			rest = ""
			if bent {
				rest = "c" + after
			}
		}
		c.to = c.turn
		if rest != "" {
			var first, zero, second, dx, dy, end int
			scan(t, rest, "c%d %d %d %d %d %d", &first, &zero, &second, &dy, &dx, &end)
			if zero != 0 || first != second || dy != end {
				t.Errorf("the curve %q is not horizontal at its ends", rest)
			}
			c.to.x, c.to.y = c.turn.x+dx, c.turn.y+dy
		}
		found = append(found, c)
	}
	return found
}

func scan(t tb, text, format string, to ...any) {
	t.Helper()
	if _, err := fmt.Sscanf(text, format, to...); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
}

// points returns some points of the curve between its ends.
func (c curve) points() []point {
	var points []point
	for x := c.from.x + 1; x < c.turn.x; x += 4 {
		points = append(points, point{x, c.from.y})
	}
	const steps = 40
	for i := 1; i < steps; i++ {
		s := float64(i) / steps
		u := 1 - s
		half := float64((c.to.x - c.turn.x) / 2)
		x := float64(c.turn.x) + 3*u*u*s*half + 3*u*s*s*half + s*s*s*float64(c.to.x-c.turn.x)
		y := float64(c.turn.y) + (3*u*s*s+s*s*s)*float64(c.to.y-c.turn.y)
		points = append(points, point{int(x), int(y)})
	}
	return points
}

// A walk is a way along the lines from the left to the right, as the boxes name it.
type walk struct {
	person, group, role, roleText, heldOn string
	accepted, labeled                     bool
}

// The dashes of edges that have a condition.
const (
	acceptedDashes = "7 4"
	labeledDashes  = "2 3"
)

// walks follows all lines from each person.
func (p picture) walks(t tb) []walk {
	t.Helper()
	starts := map[point]box{} // By the point where lines leave the box.
	ends := map[point]box{}
	for _, b := range p.boxes {
		middle := (b.top + b.bottom) / 2
		starts[point{b.right, middle}], ends[point{b.left, middle}] = b, b
	}
	leaving := map[point][]curve{}
	for _, c := range p.curves {
		leaving[c.from] = append(leaving[c.from], c)
	}
	var found []walk
	var follow func(at point, w walk, column string)
	follow = func(at point, w walk, column string) {
		if len(leaving[at]) == 0 {
			found = append(found, w)
		}
		for _, c := range leaving[at] {
			next := w
			switch {
			case c.dashes == acceptedDashes && column == "Person":
				next.accepted = true
			case c.dashes == labeledDashes && column == "Role":
				next.labeled = true
			case c.dashes != "" && (column != "" || c.dashes != acceptedDashes):
				t.Errorf("a line from the column %q has dashes %q", column, c.dashes)
			}
			b, reached := ends[c.to]
			if !reached { // It passes the groups and goes on.
				if len(leaving[c.to]) == 0 {
					t.Errorf("a line ends at %v, where nothing is", c.to)
				}
				follow(c.to, next, "")
				continue
			}
			switch b.column {
			case "Group":
				next.group = b.href
			case "Role":
				next.role, next.roleText = b.href, strings.Join(b.lines, "\n")
			case "Held on":
				next.heldOn = b.href
			}
			follow(point{b.right, (b.top + b.bottom) / 2}, next, b.column)
		}
	}
	for at, b := range starts {
		if b.column == "Person" {
			follow(at, walk{person: b.href}, b.column)
		}
	}
	return sorted(found)
}

func sorted(walks []walk) []walk {
	return slices.SortedFunc(slices.Values(walks), func(a, b walk) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
}

// expected returns the walks that paths demand.
func expected(paths []access.Path) []walk {
	all := map[walk]bool{}
	for _, p := range paths {
		w := walk{person: link(access.Thing{Type: p.Person.Type, ID: p.Person.ID}), accepted: p.When == access.WhenAccepted || p.Person.Type == access.TypeInvite}
		if p.Group != nil {
			w.group = link(*p.Group)
		}
		if p.HeldOn.Type == access.TypeGroup {
			w.group = link(p.HeldOn)
		} else {
			w.role, w.heldOn, w.labeled = link(access.Thing{Type: access.TypeRole, ID: p.Role.ID}), link(p.HeldOn), p.When == access.IfLabeled
			if p.ByName {
				w.roleText = "*"
			}
		}
		all[w] = true
	}
	var walks []walk
	for w := range all {
		walks = append(walks, w)
	}
	return walks
}
