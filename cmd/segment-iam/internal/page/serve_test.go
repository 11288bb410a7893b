package page

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// answer returns what a handler answers to a request as it comes over the network.
func answer(t *testing.T, h http.Handler, request string) *httptest.ResponseRecorder {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request)))
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r.WithContext(t.Context()))
	checkHeaders(t, request, w)
	return w
}

// checkHeaders checks the headers that each answer has, errors included.
func checkHeaders(t *testing.T, request string, w *httptest.ResponseRecorder) {
	t.Helper()
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
	} {
		if got := w.Header().Values(name); !slices.Equal(got, []string{want}) {
			t.Errorf("%q is answered with %s: %q", request, name, got)
		}
	}
	policy := w.Header().Get("Content-Security-Policy")
	for _, directive := range []string{"default-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"} {
		if !slices.Contains(strings.Split(policy, "; "), directive) {
			t.Errorf("%q is answered without the policy %s: %s", request, directive, policy)
		}
	}
	for name := range w.Header() {
		if strings.HasPrefix(name, "Access-Control-") || name == "Set-Cookie" || name == "Location" || name == "Server" {
			t.Errorf("%q is answered with %s", request, name)
		}
	}
	if contentType := w.Header().Get("Content-Type"); !strings.HasSuffix(contentType, "; charset=utf-8") {
		t.Errorf("%q is answered with the type %q", request, contentType)
	}
}

// A secret is what an answer to a stranger must not contain.
const secret = "Ada Lindqvist"

func demoHandler(t *testing.T) http.Handler {
	t.Helper()
	return newHandler(t, New("test", Source{Snapshot: read(t, sim.Demo()), From: "demo.c1z"}))
}

// Only requests for the address that was printed are answered, so that a foreign site whose
// name leads here (DNS rebinding) sees nothing.
func TestServe_RefusesOtherHosts(t *testing.T) {
	t.Parallel()
	h := demoHandler(t)
	for host, want := range map[string]int{
		ours: http.StatusOK, "localhost:4711": http.StatusOK,

		"evil.example": 421, "evil.example:4711": 421, "127.0.0.1": 421, "127.0.0.1:4712": 421, "127.0.0.1:": 421, "127.0.0.1:04711": 421,
		"localhost": 421, "localhost:80": 421, "localhost.:4711": 421, "127.0.0.1.:4711": 421, "localhost.evil.example:4711": 421, "127.0.0.1.evil.example:4711": 421,
		"[::1]:4711": 421, "[::ffff:127.0.0.1]:4711": 421, "[::]:4711": 421, "::1:4711": 421, "0.0.0.0:4711": 421, "127.1:4711": 421, "127.0.0.2:4711": 421, "2130706433:4711": 421, "0x7f.1:4711": 421,
		"": 421, " ": 421, "evil.example,127.0.0.1:4711": 421, "user@127.0.0.1:4711": 421,
	} {
		w := answer(t, h, "GET /list?name=people HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		if w.Code != want || strings.Contains(w.Body.String(), secret) != (want == http.StatusOK) {
			t.Errorf("the host %q is answered with %d: %.80s", host, w.Code, w.Body.String())
		}
	}
	// The target of a request may have a host as well, which then counts.
	for target, want := range map[string]int{
		"http://127.0.0.1:4711/list?name=people": http.StatusOK, "http://evil.example/list?name=people": 421, "http://evil.example:4711/list?name=people": 421,
	} {
		if w := answer(t, h, "GET "+target+" HTTP/1.1\r\nHost: "+ours+"\r\n\r\n"); w.Code != want {
			t.Errorf("the target %s is answered with %d", target, w.Code)
		}
	}
	if w := answer(t, h, "GET / HTTP/1.0\r\n\r\n"); w.Code != 421 {
		t.Errorf("a request without a host is answered with %d", w.Code)
	}
}

// On a loopback address of IPv6, the host is written in brackets.
func TestServe_IPv6(t *testing.T) {
	t.Parallel()
	s := New("test", Source{Snapshot: read(t, sim.Demo()), From: "demo.c1z"})
	h, err := Handler(&net.TCPAddr{IP: net.IPv6loopback, Port: 4711}, func() (*Site, string) { return s, "" })
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{"[::1]:4711": http.StatusOK, "localhost:4711": http.StatusOK, ours: 421, "::1:4711": 421, "[::1]": 421, "[0:0:0:0:0:0:0:1]:4711": 421} {
		if w := answer(t, h, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); w.Code != want {
			t.Errorf("the host %q is answered with %d", host, w.Code)
		}
	}
}

// Pages of other origins get nothing.
func TestServe_RefusesOtherOrigins(t *testing.T) {
	t.Parallel()
	h := demoHandler(t)
	for origin, want := range map[string]int{
		"": http.StatusOK, "http://" + ours: http.StatusOK,
		"null": 403, "http://evil.example": 403, "https://" + ours: 403, "http://127.0.0.1:4712": 403, "http://127.0.0.1": 403, "http://localhost:4711": 403,
		"HTTP://" + ours: 403, "http://" + ours + "/": 403, "http://" + ours + ".evil.example": 403, "file://": 403, "chrome-extension://abcdefgh": 403,
	} {
		w := answer(t, h, "GET /list?name=people HTTP/1.1\r\nHost: "+ours+"\r\nOrigin: "+origin+"\r\n\r\n")
		if w.Code != want || strings.Contains(w.Body.String(), secret) != (want == http.StatusOK) {
			t.Errorf("the origin %q is answered with %d", origin, w.Code)
		}
	}
	if w := answer(t, h, "GET / HTTP/1.1\r\nHost: localhost:4711\r\nOrigin: http://localhost:4711\r\n\r\n"); w.Code != http.StatusOK {
		t.Errorf("localhost as the host and the origin is answered with %d", w.Code)
	}
}

// Pages of other origins may link to pages, and load nothing. Browsers say what a request
// is for.
func TestServe_RefusesToBeLoadedByOthers(t *testing.T) {
	t.Parallel()
	h := demoHandler(t)
	for headers, want := range map[string]int{
		"Sec-Fetch-Site: none\r\nSec-Fetch-Dest: document": 200, "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Dest: document": 200,
		"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: document": 200, "Sec-Fetch-Site: same-site\r\nSec-Fetch-Dest: document": 200,
		"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: image": 403, "Sec-Fetch-Site: same-site\r\nSec-Fetch-Dest: script": 403,
		"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: iframe": 403, "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: empty": 403, "Sec-Fetch-Site: cross-site": 403,
	} {
		w := answer(t, h, "GET /list?name=people HTTP/1.1\r\nHost: "+ours+"\r\n"+headers+"\r\n\r\n")
		if w.Code != want || strings.Contains(w.Body.String(), secret) != (want == http.StatusOK) {
			t.Errorf("a request with %q is answered with %d", headers, w.Code)
		}
	}
}

func TestServe_Methods(t *testing.T) {
	t.Parallel()
	h := demoHandler(t)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"} {
		w := answer(t, h, method+" / HTTP/1.1\r\nHost: "+ours+"\r\n\r\n")
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" || strings.Contains(w.Body.String(), secret) {
			t.Errorf("%s is answered with %d, Allow: %q", method, w.Code, w.Header().Get("Allow"))
		}
	}
	if w := answer(t, h, "HEAD / HTTP/1.1\r\nHost: "+ours+"\r\n\r\n"); w.Code != http.StatusOK {
		t.Errorf("HEAD is answered with %d", w.Code)
	}
}

// Paths name pages only. No form of a path leads to a file or to a redirect.
func TestServe_UnknownPagesAreNotFound(t *testing.T) {
	t.Parallel()
	h := demoHandler(t)
	for _, target := range []string{
		"/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd", "/./", "//", "//evil.example", "//evil.example/..", "/\\evil.example", "/assets/style.css", "/assets/", "/list/", "/list/../user",
		"/list", "/list?name=", "/list?name=no-such-list", "/list?name=../people", "/list?name=changes", "/changes", "/favicon.ico", "/robots.txt",
		"/user", "/user?id=", "/user?id=no-such-user", "/user?id=..%2F..", "/user/?id=1", "/User?id=1", "/workspace?id=1", "/member?id=1", "/group?id=no", "/role?id=no", "/role?id=member", "/label?id=no%3Dsuch", "/source?id=no",
		"/space?id=no", "/function?id=no", "/warehouse?id=no", "/invite?id=no@example.com", "/%00", "/user%00?id=1", "/search/", "/?", "*",
	} {
		w := answer(t, h, "GET "+target+" HTTP/1.1\r\nHost: "+ours+"\r\n\r\n")
		want := http.StatusNotFound
		if target == "/?" {
			want = http.StatusOK
		}
		if w.Code != want {
			t.Errorf("%s is answered with %d", target, w.Code)
		}
		p := parsePage(t, target, w.Body.String(), w.Header().Get("Content-Security-Policy"))
		p.check(t)
	}
}

// A malformed query is no reason to fail.
func TestServe_OddQueries(t *testing.T) {
	t.Parallel()
	h := demoHandler(t)
	for _, target := range []string{"/?%zz", "/?id=1;name=2", "/search?q=%ff%fe", "/search?q=a&q=b", "/search?from=1e9", "/list?name=people&name=roles", "/search?q=" + strings.Repeat("x", 10_000)} {
		w := answer(t, h, "GET "+target+" HTTP/1.1\r\nHost: "+ours+"\r\n\r\n")
		if w.Code != http.StatusOK {
			t.Errorf("%.40s is answered with %d", target, w.Code)
		}
		parsePage(t, target, w.Body.String(), w.Header().Get("Content-Security-Policy")).check(t)
	}
}

// Ids may look like paths and queries.
func TestServe_IdsAreNotPaths(t *testing.T) {
	t.Parallel()
	snapshot := &access.Snapshot{}
	ids := []string{"a/b", "../..", "/", "//evil.example", "..", ".", "a?b=c&d", "a#b", "a%2Fb", "a b", "a+b", "a;b", `a\b`, "日本", "\u202e"}
	for _, id := range ids {
		snapshot.Resources = append(snapshot.Resources, access.Resource{Type: access.TypeSource, ID: id, Name: "Name"})
	}
	s := New("test", Source{Snapshot: snapshot})
	pages := crawl(t, s)
	checkComplete(t, s, reportOnly(t, s), pages)
	for _, id := range ids {
		if p := pages["/source?"+url.Values{"id": {id}}.Encode()]; p.root == nil {
			t.Errorf("no link leads to the id %q", id)
		}
	}
}

func reportOnly(t *testing.T, s *Site) parsedPage {
	t.Helper()
	p, _ := reportOf(t, s)
	return p
}

// Others cannot reach the address of a handler.
func TestHandler_LoopbackOnly(t *testing.T) {
	t.Parallel()
	for _, addr := range []net.Addr{
		&net.TCPAddr{IP: net.IPv4zero, Port: 1}, &net.TCPAddr{IP: net.IPv6unspecified, Port: 1}, &net.TCPAddr{Port: 1}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1},
		&net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 1}, &net.UnixAddr{Name: "socket"}, &net.UDPAddr{IP: net.IPv6loopback},
	} {
		if h, err := Handler(addr, nil); h != nil || !errors.Is(err, ErrNotLoopback) {
			t.Errorf("a handler for %s: %v", addr, err)
		}
	}
	for _, addr := range []net.Addr{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, &net.TCPAddr{IP: net.IPv4(127, 9, 9, 9), Port: 1}, &net.TCPAddr{IP: net.IPv6loopback, Port: 1}} {
		if _, err := Handler(addr, nil); err != nil {
			t.Errorf("a handler for %s: %v", addr, err)
		}
	}
}

// The pages of a long list, one after the other, are the list.
func TestServe_PagesOfAList(t *testing.T) {
	t.Parallel()
	ws := sized()
	snapshot := read(t, ws)
	h := newHandler(t, New("test", Source{Snapshot: snapshot, From: "Segment"}))
	var want []string
	for _, m := range snapshot.Things(access.TypeUser, access.TypeInvite) {
		want = append(want, m.ID)
	}
	var forward, backward []string
	pages := 0
	for target := "/list?name=people"; target != ""; pages++ {
		ids, _, next := idsOf(t, h, target)
		forward, target = append(forward, ids...), next
	}
	if diff := cmp.Diff(want, forward); diff != "" || pages != 2 {
		t.Errorf("%d pages of the list (-want +got):\n%s", pages, diff)
	}
	for target := "/list?name=people&from=" + strconv.Itoa(rowsPerPage+1); target != ""; {
		ids, before, _ := idsOf(t, h, target)
		backward, target = append(ids, backward...), before
	}
	if diff := cmp.Diff(want, backward); diff != "" {
		t.Errorf("backwards (-want +got):\n%s", diff)
	}
	first, _, _ := idsOf(t, h, "/list?name=people")
	for from, same := range map[string][]string{
		"-1": first, "0": first, "1": first, "abc": first, "": first, "1e3": first, "99999999999999999999": first, "-99999999999999999999": first,
		"9223372036854775807": want[len(want)-1:], "1000000": want[len(want)-1:], "2": want[1:201], "31": want[30:],
	} {
		if ids, _, _ := idsOf(t, h, "/list?name=people&from="+url.QueryEscape(from)); !slices.Equal(ids, same) {
			t.Errorf("from=%s shows %d rows, want %d", from, len(ids), len(same))
		}
	}
}

// idsOf returns the ids in the last column of a page, and the links to the page before it
// and to the page after it.
func idsOf(t *testing.T, h http.Handler, target string) ([]string, string, string) {
	t.Helper()
	var ids []string
	before, after := "", ""
	w := get(t, h, target)
	p := parsePage(t, target, w.Body.String(), w.Header().Get("Content-Security-Policy"))
	p.check(t)
	for _, row := range rowsOf(p.root, 10*rowsPerPage) {
		ids = append(ids, row[len(row)-1])
	}
	for _, a := range elements(p.root, "a") {
		switch attribute(a, "rel") {
		case "prev":
			before = attribute(a, "href")
		case "next":
			after = attribute(a, "href")
		}
	}
	return ids, before, after
}
