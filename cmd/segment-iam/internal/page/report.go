package page

import (
	"bufio"
	"io"
	"strconv"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/wording"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// maxPictured is how many people and things a report may have so that each has a
// picture. More pictures would make it too large to open and to send.
const maxPictured = 500

// Report writes all pages as one file that needs nothing else.
func Report(out io.Writer, s *Site) error {
	parsed, err := parse()
	if err != nil {
		return err
	}
	buffered := bufio.NewWriter(out)
	r := &report{Site: s, out: buffered, renderer: renderer{parsed: parsed, drawn: new(int)}, ids: map[address]string{}}
	r.href = func(a address) string {
		if id, ok := r.ids[a]; ok {
			return "#" + id
		}
		return ""
	}
	if err = r.write(); err != nil {
		return err
	}
	return buffered.Flush()
}

type report struct {
	*Site
	renderer
	out io.Writer
	ids map[address]string // Of the sections.
}

// A chapter is a part of a report with a heading of its own.
type chapter struct {
	title     string
	addresses []address
	document  func(address) document
}

func (r *report) write() error {
	chapters := r.chapters()
	r.ids[address{}] = "main"
	things := 0
	for i, c := range chapters {
		for j, a := range c.addresses {
			r.ids[a] = "s" + strconv.Itoa(i) + "-" + strconv.Itoa(j)
			if a.thing.Type != "" {
				things++
			}
		}
	}
	r.pictures = things <= maxPictured
	f := r.frame(r.parsed, frame{Title: r.title(), Policy: r.policy}, address{list: "none"}, r.href)
	if err := r.templates.ExecuteTemplate(r.out, "report head", f); err != nil {
		return err
	}
	if err := r.templates.ExecuteTemplate(r.out, "document", r.show(r.overview(), 1, whole)); err != nil {
		return err
	}
	for _, c := range chapters {
		if err := r.chapter(c); err != nil {
			return err
		}
	}
	return r.templates.ExecuteTemplate(r.out, "report foot", f)
}

func (r *report) chapter(c chapter) error {
	if len(c.addresses) == 0 {
		return nil
	}
	if _, err := io.WriteString(r.out, string(heading(2, "", c.title))+"\n"); err != nil {
		return err
	}
	for _, a := range c.addresses {
		shown := r.show(c.document(a), 3, whole)
		shown.ID, shown.Findable = r.ids[a], a.thing.Type != ""
		if err := r.templates.ExecuteTemplate(r.out, "report section", shown); err != nil {
			return err
		}
	}
	return nil
}

func (r *report) chapters() []chapter {
	lists := chapter{title: "Lists", document: func(a address) document {
		l, _ := r.list(a.list)
		return l.document()
	}}
	for _, l := range r.lists {
		lists.addresses = append(lists.addresses, address{list: l.name})
	}
	var chapters []chapter
	if r.hasChanges() {
		chapters = append(chapters, chapter{title: "What has changed", addresses: []address{{list: listChanges}}, document: func(address) document {
			d, _ := r.changes()
			return d
		}})
	}
	chapters = append(chapters, lists)
	for _, kind := range []struct {
		title string
		types []string
	}{
		{"People", []string{access.TypeUser, access.TypeInvite}},
		{"Groups", []string{access.TypeGroup}},
		{"Roles", []string{access.TypeRole}},
		{"Resources", wording.Reachable},
		{"Labels", []string{access.TypeLabel}},
	} {
		c := chapter{title: kind.title, document: r.thingOf}
		for _, w := range r.workspaces {
			for _, m := range w.Things(kind.types...) {
				c.addresses = append(c.addresses, w.address(m.Type, m.ID))
			}
		}
		chapters = append(chapters, c)
	}
	return chapters
}

// thingOf returns the document of a thing that is known to exist.
func (r *report) thingOf(a address) document {
	w, _ := r.workspace(a.workspace)
	d, _ := r.thing(w, a.thing, false)
	return d
}
