package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/wording"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

const (
	formatTable = "table"
	formatCSV   = "csv"
	formatJSON  = "json"
)

var formats = []string{formatTable, formatCSV, formatJSON}

func (s *settings) checkFormat() error {
	if !slices.Contains(formats, s.output) {
		return usagef("--output %s: use one of %s", s.output, strings.Join(formats, ", "))
	}
	return nil
}

// A writer prints answers in one format.
type writer struct {
	out, errOut io.Writer
	format      string
}

func (s *settings) writer(cmd *cobra.Command) writer {
	return writer{out: cmd.OutOrStdout(), errOut: cmd.ErrOrStderr(), format: s.output}
}

// An answer about a thing, as JSON. Over several workspaces, the resource is that of the
// first one that has it.
type thingAnswer struct {
	Resource access.Thing  `json:"resource"`
	Paths    []access.Path `json:"paths"`
}

// An answer about a person, as JSON. Over several workspaces, the person is as in the
// first one.
type personAnswer struct {
	Person access.Person `json:"person"`
	Paths  []access.Path `json:"paths"`
}

func (w writer) who(a answer) error {
	match := a.first().match
	title := fmt.Sprintf("Who reaches %s %s", match.Type, a.thing())
	switch match.Type {
	case access.TypeRole:
		title = "Who holds role " + a.thing()
	case access.TypeLabel:
		title = "Who holds a role on label " + wording.Plain(match.Name)
	case access.TypeGroup:
		title = "Who is in group " + a.thing()
	}
	if match.Unlisted && !a.several() {
		title += ", which Segment no longer lists"
	}
	return w.about(a, title)
}

func (w writer) owners(a answer) error {
	if a.several() {
		return w.about(a, fmt.Sprintf("Who owns %d workspaces", len(a.places)))
	}
	return w.about(a, "Who owns workspace "+a.thing())
}

func (w writer) about(a answer, title string) error {
	if w.format != formatTable {
		return w.program(a, thingAnswer{a.first().match.Thing, a.paths})
	}
	t := a.sheet(title, "Person", "Role", "Held on", "Through group", "When")
	for _, p := range a.paths {
		t.add(a.cells(p, wording.Person(p.Person), wording.Role(p), wording.HeldOn(p.HeldOn), wording.Group(p), string(p.When))...)
	}
	const none = "nobody"
	return w.print(t, a.paths, append([]string{a.count(none)}, a.notes(none)...))
}

func (w writer) what(a answer) error {
	person := a.first().person()
	if w.format != formatTable {
		return w.program(a, personAnswer{person, a.paths})
	}
	t := a.sheet("What "+wording.Person(person)+" reaches", "Role", "Held on", "Through group", "When", "Reaches")
	for _, p := range a.paths {
		t.add(a.cells(p, wording.Role(p), wording.HeldOn(p.HeldOn), wording.Group(p), string(p.When), wording.Reaches(p))...)
	}
	const none = "nothing"
	footer := a.notes(none)
	if len(a.paths) == 0 {
		footer = slices.Insert(footer, 0, none)
	}
	return w.print(t, a.paths, footer)
}

// program prints an answer for programs. Workspaces that lack what the command asks about
// are named beside it.
func (w writer) program(a answer, asJSON any) error {
	for _, p := range a.places {
		if p.missing == "" {
			continue
		}
		if _, err := fmt.Fprintln(w.errOut, p.missing); err != nil {
			return err
		}
	}
	if w.format == formatJSON {
		return w.json(asJSON)
	}
	return w.csv(a.csv())
}

func (w writer) diff(c access.Changes) error {
	if w.format == formatJSON {
		return w.json(c)
	}
	t := newSheet("What changed", "", "Person", "Role", "Held on", "Through group", "When")
	var rows [][]string
	add := func(change string, paths []access.Path) {
		for _, p := range paths {
			t.add(change, wording.Person(p.Person), wording.Role(p), wording.HeldOn(p.HeldOn), wording.Group(p), string(p.When))
			rows = append(rows, append([]string{change}, csvRow(p, p.HeldOn)...))
		}
	}
	add("gained", c.Gained)
	add("lost", c.Lost)
	if w.format == formatCSV {
		return w.csv(append([]string{"change"}, csvColumns...), rows)
	}
	var footer []string
	for _, p := range c.People.Came {
		footer = append(footer, fmt.Sprintf("added: %s %s", p.Type, wording.Plain(wording.Person(p))))
	}
	for _, p := range c.People.Went {
		footer = append(footer, fmt.Sprintf("removed: %s %s", p.Type, wording.Plain(wording.Person(p))))
	}
	if len(rows)+len(footer) == 0 {
		footer = append(footer, "nothing")
	}
	return w.print(t, nil, footer)
}

func (w writer) json(answer any) error {
	e := json.NewEncoder(w.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(answer)
}

// csvColumns are the columns of CSV. If the answer is over several workspaces, csvWorkspace
// comes before. They are part of the interface.
var (
	csvWorkspace = []string{"workspace", "workspace id"}
	csvColumns   = []string{"person", "email", "type", "role", "held on", "held on type", "through group", "when", "resource", "resource type"}
)

func csvRow(p access.Path, resource access.Thing) []string {
	return []string{
		p.Person.Name, p.Person.Email, p.Person.Type, p.Role.Name, p.HeldOn.Name, p.HeldOn.Type,
		wording.Group(p), string(p.When), resource.Name, resource.Type,
	}
}

func (w writer) csv(columns []string, rows [][]string) error {
	c := csv.NewWriter(w.out)
	if err := c.Write(columns); err != nil {
		return err
	}
	for _, row := range rows {
		for i := range row {
			row[i] = harmless(row[i])
		}
		if err := c.Write(row); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// harmless returns a cell that a spreadsheet does not take for a formula.
func harmless(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

// A sheet is a table before it is drawn.
type sheet struct {
	title   string
	columns []string
	rows    [][]string
}

func newSheet(title string, columns ...string) *sheet { return &sheet{title: title, columns: columns} }

func (s *sheet) add(cells ...string) {
	for i := range cells {
		cells[i] = wording.Plain(cells[i])
	}
	s.rows = append(s.rows, cells)
}

// draw returns the table as text that fits the terminal, if that is where it goes.
func (s *sheet) draw(out io.Writer) string {
	t := table.NewWriter()
	t.SetTitle("%s", wording.Plain(s.title))
	t.AppendHeader(row(s.columns))
	for _, cells := range s.rows {
		t.AppendRow(row(cells))
	}
	style := table.StyleLight
	style.Options = table.OptionsNoBordersAndSeparators
	style.Options.SeparateHeader = true
	style.Format.Header = text.FormatDefault
	style.Title.Format = text.FormatDefault
	if f, ok := out.(*os.File); ok && isTerminal(out) {
		if width, _, err := term.GetSize(descriptor(f)); err == nil {
			t.SetColumnConfigs(s.fit(width))
		}
		if os.Getenv("NO_COLOR") == "" {
			style.Color.Header = text.Colors{text.Bold}
			style.Title.Colors = text.Colors{text.Bold}
		}
	}
	t.SetStyle(style)
	return t.Render()
}

func row(cells []string) table.Row {
	r := make(table.Row, len(cells))
	for i, c := range cells {
		r[i] = c
	}
	return r
}

const (
	// padding is the space around each cell.
	padding = 2
	// leastWidth is the least that a column is narrowed to.
	leastWidth = 8
)

// fit returns how wide columns may be, so that no line is longer than width: the widest
// are narrowed, and their cells wrapped.
func (s *sheet) fit(width int) []table.ColumnConfig {
	widths := make([]int, len(s.columns))
	all := 0
	for i := range s.columns {
		widths[i] = text.StringWidthWithoutEscSequences(s.columns[i])
		for _, cells := range s.rows {
			widths[i] = max(widths[i], text.StringWidthWithoutEscSequences(cells[i]))
		}
		all += widths[i] + padding
	}
	for ; all > width; all-- {
		widest := slices.Index(widths, slices.Max(widths))
		if widths[widest] <= leastWidth {
			break
		}
		widths[widest]--
	}
	configs := make([]table.ColumnConfig, len(widths))
	for i, most := range widths {
		configs[i] = table.ColumnConfig{Number: i + 1, WidthMax: most, WidthMaxEnforcer: text.WrapSoft}
	}
	return configs
}

func (w writer) print(t *sheet, paths []access.Path, footer []string) error {
	lines := append([]string{t.draw(w.out)}, footer...)
	if slices.ContainsFunc(paths, func(p access.Path) bool { return p.ByName }) {
		lines = append(lines, wording.ByNameNote)
	}
	if slices.ContainsFunc(paths, func(p access.Path) bool { return p.When == access.IfLabeled }) {
		lines = append(lines, wording.IfLabeledNote)
	}
	_, err := fmt.Fprintln(w.out, strings.Join(lines, "\n"))
	return err
}
