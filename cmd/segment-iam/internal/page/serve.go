package page

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/wording"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// rowsPerPage is how many rows of a table a page of the server has.
const rowsPerPage = 200

// The paths of pages that are no lists and about no single thing.
const (
	pathSearch  = "/search"
	pathChanges = "/changes"
)

// ErrNotLoopback is returned by [Handler] for an address that others could reach.
var ErrNotLoopback = errors.New("pages are served to this machine only, so listen on a loopback address")

// A Current returns the site to show, and a warning for the reader, or nothing.
type Current func() (site *Site, warning string)

// Handler serves the pages on a loopback address. It answers only requests that a browser
// on this machine makes for the pages themselves: a foreign site that has its own name
// resolve to the address (DNS rebinding) is refused, as is every other origin.
func Handler(addr net.Addr, current Current) (http.Handler, error) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsLoopback() {
		return nil, ErrNotLoopback
	}
	parsed, err := parse()
	if err != nil {
		return nil, err
	}
	port := strconv.Itoa(tcp.Port)
	s := &server{parsed: parsed, current: current, hosts: map[string]bool{
		tcp.String(): true, "localhost:" + port: true,
	}}
	return s, nil
}

type server struct {
	*parsed
	current Current
	hosts   map[string]bool // Values of the header Host that are ours.
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", s.policy+"; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	switch {
	case !s.hosts[r.Host]:
		http.Error(w, "this address is not served here: use the one that segment-iam printed", http.StatusMisdirectedRequest)
		return
	case isForeign(r):
		http.Error(w, "requests from other origins are refused", http.StatusForbidden)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "nothing can be changed here", http.StatusMethodNotAllowed)
		return
	}
	site, warning := s.current()
	d, found := site.find(r.URL)
	if !found {
		d = document{Title: "Not found", Lead: "There is no such page. The workspace may have changed: search for the name."}
	}
	s.write(w, r, site, d, frame{Warning: warning}, found)
}

// isForeign reports whether a page of another origin makes a request. Such a page may link
// to pages here, but must not load them into itself: how long that takes shows, for
// example, whether a search finds anything.
func isForeign(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
		return true
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin": // Empty if the client is not a browser.
		return false
	}
	return r.Header.Get("Sec-Fetch-Dest") != "document"
}

// find returns the document of an address.
func (s *Site) find(u *url.URL) (document, bool) {
	q := u.Query()
	switch u.Path {
	case "/":
		return s.overview(), true
	case pathSearch:
		return s.search(q.Get("q")), true
	case pathChanges:
		return s.changes()
	case "/list":
		l, ok := s.list(q.Get("name"))
		if !ok {
			return document{}, false
		}
		return l.document(), true
	}
	w, ok := s.workspace(q.Get("workspace"))
	if !ok || u.Path == "" {
		return document{}, false
	}
	return s.thing(w, access.Ref{Type: u.Path[1:], ID: q.Get("id")}, true)
}

// served returns the link to a page of the server, or "" for a thing that only an earlier
// snapshot has.
func (s *Site) served(a address) string {
	if w, _ := s.workspace(a.workspace); a.thing.Type != "" && !w.known[a.thing] {
		return ""
	}
	switch {
	case a.thing.Type != "":
		q := url.Values{"id": {a.thing.ID}}
		if s.several() {
			q.Set("workspace", a.workspace)
		}
		return "/" + a.thing.Type + "?" + q.Encode()
	case a.list == listChanges:
		return pathChanges
	case a.list == listSearch:
		return pathSearch
	case a.list == listOverview:
		return "/"
	}
	return "/list?" + url.Values{"name": {a.list}}.Encode()
}

func (s *server) write(w http.ResponseWriter, r *http.Request, site *Site, d document, f frame, found bool) {
	f = site.frame(s.parsed, f, d.Address, site.served)
	f.Title, f.Query = visible(d.Title, d.Address)+" - segment-iam", wording.Plain(r.URL.Query().Get("q"))
	f.Document = renderer{parsed: s.parsed, href: site.served, pictures: true, drawn: new(int)}.show(d, 1, pageOf(r.URL))
	var b bytes.Buffer
	if err := s.templates.ExecuteTemplate(&b, "page", f); err != nil {
		http.Error(w, "the page could not be rendered: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if !found {
		w.WriteHeader(http.StatusNotFound)
	}
	_, _ = w.Write(b.Bytes()) // The reader may have gone.
}

// pageOf shows that part of each table that the query asks for. All tables of a page are
// at the same part, or at their last row if they end before it.
func pageOf(u *url.URL) cut {
	q := u.Query()
	from, err := strconv.Atoi(q.Get("from"))
	if err != nil || from < 1 {
		from = 1
	}
	at := func(from int) string {
		q.Set("from", strconv.Itoa(from))
		return u.Path + "?" + q.Encode()
	}
	return func(t *table) ([]row, *pager) {
		all := t.len()
		if all <= rowsPerPage {
			return whole(t)
		}
		first := min(from, all)
		p := &pager{From: first, To: min(first+rowsPerPage-1, all), All: all}
		if first > 1 {
			p.Before = at(max(1, first-rowsPerPage))
		}
		if p.To < all {
			p.After = at(first + rowsPerPage)
		}
		return t.rows(first-1, p.To), p
	}
}

// frame adds to a frame what all pages have.
func (s *Site) frame(p *parsed, f frame, current address, href func(address) string) frame {
	f.Version, f.Style, f.Script = s.version, p.style, p.script
	f.Navigation = []link{{Text: "Overview", To: href(address{}), Current: current == address{}}}
	add := func(text, list string) {
		to := address{list: list}
		f.Navigation = append(f.Navigation, link{Text: text, To: href(to), Current: current == to})
	}
	for _, name := range []string{"people", "groups", "roles", "sources", "spaces", "functions", "warehouses", "labels"} {
		l, _ := s.list(name)
		if l.total > 0 {
			add(capital(name), name)
		}
	}
	if s.hasChanges() {
		add("Changes", listChanges)
	}
	for _, w := range s.workspaces {
		f.AsOf = append(f.AsOf, w.asOf())
	}
	return f
}

func (s *Site) hasChanges() bool {
	for _, w := range s.workspaces {
		if w.changes != nil {
			return true
		}
	}
	return false
}
