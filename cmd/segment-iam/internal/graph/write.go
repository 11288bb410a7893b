package graph

import (
	"fmt"
	"html"
	"slices"
	"strconv"
	"strings"

	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// headings are those of the columns.
var headings = [columns]string{"Person", "Group", "Role", "Held on"}

// write returns the SVG of a graph with a layout.
func (g *graph) write(o Options) string {
	width := 0
	for c := range columns {
		width = max(width, g.left[c]+g.width[c]+margin)
	}
	id := escape(o.ID)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="graph" role="group" aria-labelledby="%s-t" aria-describedby="%[1]s-d" width="%d" height="%d" viewBox="0 0 %[2]d %[3]d" font-size="%d">`, id, width, g.bottom, textSize)
	fmt.Fprintf(&b, `<title id="%s-t">%s</title><desc id="%s-d">%s</desc><g fill="none" stroke="currentColor">`, id, escape(o.Title), id, g.description())
	g.writeEdges(&b, access.Now, "")
	g.writeEdges(&b, access.WhenAccepted, ` stroke-dasharray="7 4"`)
	g.writeEdges(&b, access.IfLabeled, ` stroke-dasharray="2 3"`)
	for c := range columns {
		if g.width[c] > 0 {
			g.writeColumn(&b, c, o)
		}
	}
	b.WriteString("</g></svg>")
	return b.String()
}

// description explains the columns to those who do not see them.
func (g *graph) description() string {
	var names []string
	for c, heading := range headings {
		if g.width[c] > 0 {
			names = append(names, strings.ToLower(heading))
		}
	}
	return "Columns from left to right: " + strings.Join(names, ", ") + "."
}

// writeEdges draws the edges of a condition as one path of curves.
func (g *graph) writeEdges(b *strings.Builder, when access.When, dashes string) {
	begun := false
	for _, e := range g.edges {
		if e.when != when {
			continue
		}
		if !begun {
			begun = true
			b.WriteString("\n" + `<path class="edge"` + dashes + ` d="`)
		}
		from, to := g.nodes[e.from], g.nodes[e.to]
		left, right := g.left[from.column], g.left[from.column]+g.width[from.column]
		if !from.junction {
			left = right
		}
		dx, dy := g.left[to.column]-right, to.y-from.y
		fmt.Fprintf(b, "M%d %d", left, from.y)
		switch {
		case dy == 0:
			fmt.Fprintf(b, "h%d", dx+right-left)
			continue
		case from.junction:
			fmt.Fprintf(b, "h%d", right-left)
		}
		fmt.Fprintf(b, "c%d 0 %[1]d %d %d %[2]d", dx/2, dy, dx)
	}
	if begun {
		b.WriteString(`"/>`)
	}
}

func (g *graph) writeColumn(b *strings.Builder, column int, o Options) {
	heading := headings[column]
	if column == columnPerson && g.people > 0 {
		heading += " (" + strconv.Itoa(g.people) + ")"
	}
	clip := ""
	if slices.ContainsFunc(g.order[column], func(i int) bool { return !isSurelyNarrow(g.nodes[i].text + g.nodes[i].detail) }) {
		name := fmt.Sprintf("%s-%d", escape(o.ID), column)
		fmt.Fprintf(b, `<clipPath id="%s"><path d="M-4 0h%dv%dh-%[2]d"/></clipPath>`, name, g.width[column]+8, g.bottom)
		clip = fmt.Sprintf(` clip-path="url(#%s)"`, name)
	}
	fmt.Fprintf(b, "\n"+`<g transform="translate(%d)"%s><text class="head" y="%d">%s</text>`, g.left[column], clip, margin+textSize, heading)
	for _, i := range g.order[column] {
		if n := g.nodes[i]; !n.junction {
			g.writeNode(b, n, o)
		}
	}
	b.WriteString("</g>")
}

func (g *graph) writeNode(b *strings.Builder, n node, o Options) {
	end := ""
	b.WriteString("\n")
	switch link := address(n.thing, o); {
	case link != "":
		b.WriteString(`<a href="` + escape(link) + `">`)
		end = "</a>"
	case n.thing.Type == "":
		b.WriteString(`<g class="more">`)
		end = "</g>"
	case n.full != "":
		b.WriteString("<g>")
		end = "</g>"
	}
	if n.full != "" {
		b.WriteString("<title>" + escape(n.full) + "</title>")
	}
	top := n.y - n.height/2
	fmt.Fprintf(b, `<rect y="%d" width="%d" height="%d"/>`, top, g.width[n.column], n.height)
	fmt.Fprintf(b, `<text x="%d" y="%d">%s</text>`, padding, top+17, escape(n.text)+n.mark())
	if n.detail != "" {
		fmt.Fprintf(b, `<text class="dim" x="%d" y="%d">%s</text>`, padding, top+32, escape(n.detail))
	}
	b.WriteString(end)
}

func address(t access.Thing, o Options) string {
	if o.Link == nil || t.Type == "" {
		return ""
	}
	return o.Link(t)
}

// escape returns a text for an element or attribute of XML.
func escape(s string) string { return html.EscapeString(clean(s)) }
