package page

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"strconv"
	"strings"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/graph"
	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/wording"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

//go:embed assets
var assets embed.FS

// parsed are the templates, and the style and script that pages contain.
type parsed struct {
	templates *template.Template
	style     template.CSS
	script    template.JS
	// policy lets a page use its own style and script, and nothing else.
	policy string
}

func parse() (*parsed, error) {
	t, err := template.New("").Funcs(template.FuncMap{"heading": heading}).ParseFS(assets, "assets/page.html")
	if err != nil {
		return nil, err
	}
	style, err := assets.ReadFile("assets/style.css")
	if err != nil {
		return nil, err
	}
	script, err := assets.ReadFile("assets/search.js")
	if err != nil {
		return nil, err
	}
	style = append(style, graph.CSS...)
	return &parsed{
		templates: t,
		style:     template.CSS(style), //nolint:gosec // Our own.
		script:    template.JS(script), //nolint:gosec // Our own.
		policy:    fmt.Sprintf("default-src 'none'; base-uri 'none'; form-action 'self'; style-src '%s'; script-src '%s'", hashOf(style), hashOf(script)),
	}, nil
}

// heading returns a heading. Templates cannot vary the name of an element.
func heading(level int, kind, title string) template.HTML {
	if kind != "" {
		kind = `<span class="kind">` + template.HTMLEscapeString(kind) + "</span> "
	}
	return template.HTML(fmt.Sprintf("<h%d>%s%s</h%d>", level, kind, template.HTMLEscapeString(title), level)) //nolint:gosec // Escaped.
}

// hashOf returns the source expression of a Content-Security-Policy for some text.
func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// A renderer turns documents into what templates show. Addresses become links by href,
// which returns an empty string for a page that does not exist.
type renderer struct {
	*parsed
	href func(address) string
	// pictures says whether pictures are drawn.
	pictures bool
	// drawn is how many pictures have been drawn, which gives each its own ids.
	drawn *int
}

// The model of the templates: that of a document, with links in the place of addresses.
type (
	shownDocument struct {
		ID, Kind, Title, Lead string
		Level, Below          int
		Findable              bool
		PictureLabel          string
		Facts                 []shownFact
		Cards                 []shownCard
		Sections              []shownSection
	}
	shownFact struct {
		Name  string
		Value []shownCell
	}
	shownCard struct {
		card
		To string
	}
	shownSection struct {
		Title, Lead string
		Picture     template.HTML
		Table       *shownTable
	}
	shownTable struct {
		Caption, Class, None string
		Columns              []string
		Rows                 [][]shownCell
		Notes                []string
		Pager                *pager
	}
	shownCell struct {
		Text, Note, To string
		More           []shownCell
	}
	// A pager leads through the parts of a long table.
	pager struct {
		From, To, All int
		Before, After string
	}
	// frame is what is around documents.
	frame struct {
		Title, Policy, Query, Warning, Version string
		Style                                  template.CSS
		Script                                 template.JS
		Navigation                             []link
		AsOf                                   []string
		Document                               shownDocument
	}
	link struct {
		Text, To string
		Current  bool
	}
)

// cut returns the rows of a table that a page shows, and the pager if these are not all.
type cut func(t *table) ([]row, *pager)

func whole(t *table) ([]row, *pager) { return t.rows(0, t.len()), nil }

// show returns a document as templates show it, with headings from a level on.
func (r renderer) show(d document, level int, cut cut) shownDocument {
	shown := shownDocument{
		Kind: d.Kind, Title: visible(d.Title, d.Address), Lead: wording.Plain(d.Lead), Level: level, Below: level + 1, PictureLabel: "Picture",
	}
	for _, f := range d.Facts {
		shown.Facts = append(shown.Facts, shownFact{wording.Plain(f.Name), r.cells(f.Value)})
	}
	for _, c := range d.Cards {
		shown.Cards = append(shown.Cards, shownCard{c, r.href(c.To)})
	}
	for _, s := range d.Sections {
		one := shownSection{Title: wording.Plain(s.Title), Lead: wording.Plain(s.Lead)}
		if s.Picture != nil && r.pictures {
			one.Picture = r.draw(s.Picture)
			shown.PictureLabel = wording.Plain(s.Picture.title)
		}
		if s.Table != nil {
			one.Table = r.table(s.Table, cut)
		}
		shown.Sections = append(shown.Sections, one)
	}
	return shown
}

func (r renderer) table(t *table, cut cut) *shownTable {
	rows, pager := cut(t)
	shown := &shownTable{Caption: wording.Plain(t.Caption), Class: t.Class, None: t.None, Columns: t.Columns, Notes: t.Notes, Pager: pager}
	for _, row := range rows {
		shown.Rows = append(shown.Rows, r.cells(row))
	}
	return shown
}

func (r renderer) cells(cells []cell) []shownCell {
	shown := make([]shownCell, len(cells))
	for i, c := range cells {
		shown[i] = shownCell{Text: visible(c.Text, c.To), Note: wording.Plain(c.Note), More: r.cells(c.More)}
		if c.To != (address{}) {
			shown[i].To = r.href(c.To)
		}
	}
	return shown
}

// visible returns a name as pages show it: that of a thing whose name is blank is its id.
func visible(name string, of address) string {
	if plain := wording.Plain(name); strings.TrimSpace(plain) != "" {
		return plain
	}
	return wording.Plain(of.thing.ID)
}

func (r renderer) draw(p *picture) template.HTML {
	*r.drawn++
	return graph.SVG(p.paths, graph.Options{
		ID: "g" + strconv.Itoa(*r.drawn), Title: p.title,
		Link: func(t access.Thing) string {
			if a := p.of.address(t.Type, t.ID); t.Type != access.TypeWorkspace {
				return r.href(a)
			}
			return ""
		},
	})
}

func capital(word string) string { return strings.ToUpper(word[:1]) + word[1:] }
