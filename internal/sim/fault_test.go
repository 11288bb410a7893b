package sim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// An outcome is the result of an exchange as a caller receives it.
type outcome struct {
	status int
	header http.Header
	body   string
	// sendErr is an error instead of an answer, readErr an error of reading the body.
	sendErr, readErr error
}

// maxRead is how much of a body a test reads. An endless body is longer.
const maxRead = 1 << 20

func exchange(t *testing.T, s *Server, client *http.Client, method, url, body string) outcome {
	t.Helper()
	return exchangeAtMost(t, s, client, maxRead, method, url, body)
}

// exchangeAtMost reads at most n bytes of the body.
func exchangeAtMost(t *testing.T, s *Server, client *http.Client, n int64, method, url, body string) outcome {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.Token())
	resp, err := client.Do(r)
	if err != nil {
		return outcome{sendErr: err}
	}
	raw, readErr := io.ReadAll(io.LimitReader(resp.Body, n))
	closeBody(t, resp)
	return outcome{status: resp.StatusCode, header: resp.Header, body: string(raw), readErr: readErr}
}

// connect returns a client in process and one over HTTP, by base URL. Neither follows
// redirects. Connections are not reused, because net/http repeats a GET if a reused
// connection breaks.
func connect(t *testing.T, s *Server) map[string]func(method, target, body string) outcome {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	unpooled := &http.Transport{DisableKeepAlives: true}
	clients := map[string]*http.Client{
		"https://api.segment.test": {Transport: s.RoundTripper(), CheckRedirect: stay},
		server.URL:                 {Transport: unpooled, CheckRedirect: stay},
	}
	out := map[string]func(method, target, body string) outcome{}
	for base, client := range clients {
		out[base] = func(method, target, body string) outcome {
			return exchange(t, s, client, method, base+target, body)
		}
	}
	return out
}

// The matrix has the outcome of each kind for a caller, and whether the operation is
// carried out.
func TestEveryFaultKind(t *testing.T) {
	t.Parallel()
	envelope := func(t *testing.T, got outcome) {
		t.Helper()
		var e struct{ Errors []problem }
		if err := json.Unmarshal([]byte(got.body), &e); err != nil || len(e.Errors) != 1 || e.Errors[0].Type == "" {
			t.Errorf("not an error envelope: %q", got.body)
		}
	}
	body := func(status int, contentType, part string) func(*testing.T, outcome) {
		return func(t *testing.T, got outcome) {
			t.Helper()
			if got.status != status || !strings.HasPrefix(got.header.Get("Content-Type"), contentType) || !strings.Contains(got.body, part) {
				t.Errorf("got %+v", got)
			}
		}
	}
	broken := func(t *testing.T, got outcome) {
		t.Helper()
		if got.sendErr == nil {
			t.Errorf("got an answer: %+v", got)
		}
	}
	matrix := map[FaultKind]struct {
		fault     Fault
		committed bool
		check     func(*testing.T, outcome)
	}{
		FaultStatus: {Fault{Status: 503}, false, func(t *testing.T, got outcome) {
			t.Helper()
			body(503, "application/json", `"status":503`)(t, got)
			envelope(t, got)
		}},
		FaultHTML: {Fault{}, false, body(502, "text/html", "<html>")},
		FaultEmpty: {Fault{}, false, func(t *testing.T, got outcome) {
			t.Helper()
			equal(t, "body", "", got.body)
			equal(t, "status", 200, got.status)
		}},
		FaultNull:        {Fault{}, false, func(t *testing.T, got outcome) { t.Helper(); equal(t, "body", "null", got.body) }},
		FaultEmptyObject: {Fault{}, false, func(t *testing.T, got outcome) { t.Helper(); equal(t, "body", "{}", got.body) }},
		FaultRedirect: {Fault{Header: http.Header{"location": {"https://elsewhere.test/"}}}, false, func(t *testing.T, got outcome) {
			t.Helper()
			equal(t, "status", 307, got.status)
			equal(t, "location", "https://elsewhere.test/", got.header.Get("Location"))
		}},
		FaultReset: {Fault{}, false, broken},
		FaultDrop:  {Fault{}, true, broken},
		FaultLateStatus: {Fault{}, true, func(t *testing.T, got outcome) {
			t.Helper()
			equal(t, "status", 500, got.status)
			envelope(t, got)
		}},
		FaultTruncate: {Fault{}, true, func(t *testing.T, got outcome) {
			t.Helper()
			if got.status != http.StatusOK || !errors.Is(got.readErr, io.ErrUnexpectedEOF) || got.body == "" || json.Valid([]byte(got.body)) {
				t.Errorf("got %+v", got)
			}
		}},
		FaultNoPagination:  {Fault{}, true, body(200, "application/json", `"userGroup"`)},
		FaultRepeatCursor:  {Fault{}, true, body(200, "application/json", `"userGroup"`)},
		FaultShrinkCursor:  {Fault{}, true, body(200, "application/json", `"userGroup"`)},
		FaultExpiredCursor: {Fault{}, true, body(200, "application/json", `"userGroup"`)},
		FaultEmptyPages:    {Fault{}, true, body(200, "application/json", `"userGroup"`)},
		FaultNewCursors:    {Fault{}, true, body(200, "application/json", `"userGroup"`)},
		FaultRepeatRow:     {Fault{}, true, body(200, "application/json", `"userGroup"`)},
		FaultContradict:    {Fault{}, true, body(200, "application/json", `"userGroup"`)},
		FaultContentType:   {Fault{}, true, body(200, "text/plain", `"userGroup"`)},
		FaultMalformed: {Fault{}, true, func(t *testing.T, got outcome) {
			t.Helper()
			if got.status != http.StatusOK || got.readErr != nil || got.body == "" || json.Valid([]byte(got.body)) {
				t.Errorf("got %+v", got)
			}
		}},
		FaultEndless: {Fault{}, true, func(t *testing.T, got outcome) {
			t.Helper()
			if got.status != http.StatusOK || got.readErr != nil || len(got.body) != maxRead || !strings.HasSuffix(got.body, "      ") {
				t.Errorf("status %d, %d bytes, %v", got.status, len(got.body), got.readErr)
			}
		}},
		FaultDelay:     {Fault{Delay: time.Millisecond}, true, body(200, "application/json", `"userGroup"`)},
		FaultLateDelay: {Fault{Delay: time.Millisecond}, true, body(200, "application/json", `"userGroup"`)},
		// TestSlowAnswers covers it.
		FaultSlow: {Fault{}, true, nil},
	}
	for _, kind := range FaultKinds() {
		row, covered := matrix[kind]
		if !covered {
			t.Errorf("%s is in no test", kind)
			continue
		}
		if row.check == nil {
			continue
		}
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := New(Demo())
			before := len(Demo().Groups)
			row.fault.Operation, row.fault.Ordinal, row.fault.Kind = "createUserGroup", 2, kind
			for base, send := range connect(t, s) {
				s.ClearFaults()
				s.ResetJournal()
				if err := s.Inject(row.fault); err != nil {
					t.Fatal(err)
				}
				for ordinal := 1; ordinal <= 3; ordinal++ {
					got := send(http.MethodPost, "/groups", `{"name":"G"}`)
					committed := len(s.Workspace().Groups) > before
					before = len(s.Workspace().Groups)
					if ordinal != 2 {
						body(200, "application/json", `"userGroup"`)(t, got)
						equal(t, base+": committed", true, committed)
						continue
					}
					row.check(t, got)
					equal(t, base+": committed", row.committed, committed)
				}
				journal := s.Journal()
				equal(t, "faults in the journal", []FaultKind{"", kind, ""}, mapSlice(journal, func(r Request) FaultKind { return r.Fault }))
				if broken := journal[1].Status == 0; broken != (kind == FaultReset || kind == FaultDrop) {
					t.Errorf("journal has status %d", journal[1].Status)
				}
			}
		})
	}
}

func TestFaultsOfPages(t *testing.T) {
	t.Parallel()
	s := New(Demo())
	if err := s.Inject(
		Fault{Operation: "listUsers", Ordinal: 1, Kind: FaultNoPagination},
		Fault{Operation: "listUsers", Kind: FaultRepeatCursor},
	); err != nil {
		t.Fatal(err)
	}
	for _, send := range connect(t, s) {
		s.ResetJournal()
		var page struct {
			Data struct {
				Users      []User
				Pagination map[string]any
			}
		}
		got := send(http.MethodGet, "/users", "")
		if err := json.Unmarshal([]byte(got.body), &page); err != nil || len(page.Data.Users) != 40 || page.Data.Pagination != nil {
			t.Errorf("without pagination: %v in %s", err, got.body)
		}
		// The last page has its own cursor as the next.
		got = send(http.MethodGet, "/users?pagination.cursor=MzA%3D", "")
		if err := json.Unmarshal([]byte(got.body), &page); err != nil || page.Data.Pagination["next"] != "MzA=" {
			t.Errorf("with a repeated cursor: %v in %s", err, got.body)
		}
	}
}

// The faults repeat rows, and make cursors that lead back or have expired.
func TestFaultsOfRowsAndCursors(t *testing.T) {
	t.Parallel()
	ws := Demo()
	user := ws.Users[0]
	type page struct {
		Users []struct{ ID, Name string }
		User  struct {
			Permissions []struct{ RoleID, RoleName string }
		}
		Invites    []string
		Pagination map[string]any
	}
	for _, c := range []struct {
		fault  Fault
		target string
		check  func(t *testing.T, got page)
	}{
		{Fault{Operation: "listUsers", Kind: FaultRepeatRow}, "/users?pagination.count=3", func(t *testing.T, got page) {
			t.Helper()
			if len(got.Users) != 4 || got.Users[3] != got.Users[0] || got.Users[0].Name != user.Name {
				t.Errorf("%+v", got)
			}
		}},
		{Fault{Operation: "listUsers", Kind: FaultContradict}, "/users?pagination.count=3", func(t *testing.T, got page) {
			t.Helper()
			if len(got.Users) != 4 || got.Users[3].ID != user.ID || got.Users[0].Name != user.Name || got.Users[3].Name == user.Name {
				t.Errorf("%+v", got)
			}
		}},
		{Fault{Operation: "listInvites", Kind: FaultContradict}, "/invites", func(t *testing.T, got page) {
			t.Helper()
			last := len(ws.Invites)
			if len(got.Invites) != last+1 || got.Invites[0] == got.Invites[last] || !strings.EqualFold(got.Invites[0], got.Invites[last]) {
				t.Errorf("%+v", got)
			}
		}},
		{Fault{Operation: "getUser", Kind: FaultContradict}, "/users/" + user.ID, func(t *testing.T, got page) {
			t.Helper()
			held := got.User.Permissions
			if n := len(user.Permissions); len(held) != n+1 || held[n].RoleID != held[0].RoleID || held[n].RoleName == held[0].RoleName {
				t.Errorf("%+v", got)
			}
		}},
		{Fault{Operation: "listUsers", Kind: FaultShrinkCursor}, "/users?pagination.count=10&pagination.cursor=MjA%3D", func(t *testing.T, got page) {
			t.Helper()
			if got.Pagination["next"] != "MTA=" {
				t.Errorf("%+v", got.Pagination)
			}
		}},
		{Fault{Operation: "listUsers", Kind: FaultShrinkCursor}, "/users?pagination.count=10", func(t *testing.T, got page) {
			t.Helper()
			if got.Pagination["next"] != "MA==" {
				t.Errorf("%+v", got.Pagination)
			}
		}},
		{Fault{Operation: "listUsers", Kind: FaultEmptyPages}, "/users?pagination.count=3&pagination.cursor=endless-7", func(t *testing.T, got page) {
			t.Helper()
			if got.Users == nil || len(got.Users) != 0 || got.Pagination["next"] != "endless-8" {
				t.Errorf("%+v", got)
			}
		}},
		{Fault{Operation: "listUsers", Kind: FaultNewCursors}, "/users?pagination.count=3&pagination.cursor=endless-7", func(t *testing.T, got page) {
			t.Helper()
			if len(got.Users) != 3 || got.Users[0].ID != user.ID || got.Pagination["next"] != "endless-8" {
				t.Errorf("%+v", got)
			}
		}},
		{Fault{Operation: "listUsers", Kind: FaultExpiredCursor}, "/users?pagination.count=10", func(t *testing.T, got page) {
			t.Helper()
			if len(got.Users) != 10 || got.Pagination["next"] != "MTA=" {
				t.Errorf("%+v", got)
			}
		}},
	} {
		s := New(ws)
		if err := s.Inject(c.fault); err != nil {
			t.Fatal(err)
		}
		for _, send := range connect(t, s) {
			var got struct{ Data page }
			if err := json.Unmarshal([]byte(send(http.MethodGet, c.target, "").body), &got); err != nil {
				t.Fatal(err)
			}
			c.check(t, got.Data)
			if c.fault.Kind == FaultExpiredCursor {
				equal(t, "status with a cursor", 422, send(http.MethodGet, c.target+"&pagination.cursor=MTA%3D", "").status)
			}
		}
	}
}

func TestSlowAnswers(t *testing.T) {
	t.Parallel()
	slow := func() *Server {
		s := New(Demo())
		if err := s.Inject(Fault{Operation: "getWorkspace", Kind: FaultSlow}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	synctest.Test(t, func(t *testing.T) {
		s := slow()
		client := &http.Client{Transport: s.RoundTripper()}
		start := time.Now()
		got := exchange(t, s, client, http.MethodGet, "https://api.segment.test/", "")
		if !json.Valid([]byte(got.body)) || time.Since(start) != time.Duration(len(got.body))*time.Second {
			t.Errorf("%d bytes after %s: %+v", len(got.body), time.Since(start), got)
		}
		client.Timeout = 3500 * time.Millisecond
		got = exchange(t, s, client, http.MethodGet, "https://api.segment.test/", "")
		if len(got.body) != 3 || !errors.Is(got.readErr, context.DeadlineExceeded) {
			t.Errorf("got %+v", got)
		}
	})
	// Over a network each byte is sent at once.
	s := slow()
	server := httptest.NewServer(s)
	defer server.Close()
	if got := exchangeAtMost(t, s, server.Client(), 1, http.MethodGet, server.URL+"/", ""); got.body != "{" || got.readErr != nil {
		t.Errorf("got %+v", got)
	}
}

func TestInject_StatusWithBodyAndHeaders(t *testing.T) {
	t.Parallel()
	s := New(Demo())
	if err := s.Inject(
		Fault{Operation: "getWorkspace", Ordinal: 1, Kind: FaultStatus, Status: 429, Header: http.Header{"retry-after": {"7"}}},
		Fault{Operation: "getWorkspace", Ordinal: 2, Kind: FaultStatus, Status: 400, Body: `{"errors":[{"type":"bad-request"}]}`},
		Fault{Operation: "getWorkspace", Ordinal: 3, Kind: FaultEmpty, Status: 204},
	); err != nil {
		t.Fatal(err)
	}
	for _, send := range connect(t, s) {
		s.ResetJournal()
		got := send(http.MethodGet, "/", "")
		equal(t, "status", 429, got.status)
		equal(t, "Retry-After", "7", got.header.Get("Retry-After"))
		if !strings.Contains(got.body, `"msBeforeNext":60000`) {
			t.Errorf("body of 429: %s", got.body)
		}
		got = send(http.MethodGet, "/", "")
		equal(t, "status", 400, got.status)
		equal(t, "body", `{"errors":[{"type":"bad-request"}]}`, got.body)
		got = send(http.MethodGet, "/", "")
		equal(t, "status", 204, got.status)
		equal(t, "body", "", got.body)
		equal(t, "status after all faults", 200, send(http.MethodGet, "/", "").status)
	}
}

func TestInject_RefusesFaultsThatNeverApply(t *testing.T) {
	t.Parallel()
	s := New(Demo())
	good := Fault{Operation: "listUsers", Kind: FaultReset}
	for _, bad := range []Fault{
		{Operation: "listusers", Kind: FaultReset},
		{Kind: FaultReset},
		{Operation: "listUsers"},
		{Operation: "listUsers", Kind: "explode"},
		{Operation: "listUsers", Kind: FaultReset, Ordinal: -1},
		{Operation: "listUsers", Kind: FaultStatus, Status: 99},
		{Operation: "listUsers", Kind: FaultStatus, Status: 600},
		{Operation: "listUsers", Kind: FaultDelay, Delay: -1},
	} {
		if err := s.Inject(good, bad); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
	// The plan takes all faults or none, so it has none of the good ones.
	newRawClient(t, s).want(t, http.StatusOK, http.MethodGet, "/users", "")
}

func TestInject_DelayOnFakeTimeEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Demo())
		if err := s.Inject(Fault{Operation: "createUserGroup", Kind: FaultDelay, Delay: time.Hour}); err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: s.RoundTripper()}
		start := time.Now()
		got := exchange(t, s, client, http.MethodPost, "https://api.segment.test/groups", `{"name":"G"}`)
		equal(t, "status", 200, got.status)
		equal(t, "waited", time.Hour, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.segment.test/groups", strings.NewReader(`{"name":"G"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+s.Token())
		start = time.Now()
		for _, want := range []int{2, 2} {
			resp, err := client.Do(r)
			if err == nil {
				closeBody(t, resp)
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error is %v", err)
			}
			equal(t, "waited", time.Minute, time.Since(start))
			// The second time the context had ended before the request was sent.
			equal(t, "requests that arrived", want, len(s.Journal()))
		}
		equal(t, "groups", len(Demo().Groups)+1, len(s.Workspace().Groups))
	})
}

func TestInject_ResetIsAConnectionReset(t *testing.T) {
	t.Parallel()
	s := New(Demo())
	if err := s.Inject(Fault{Operation: "listRoles", Kind: FaultReset}); err != nil {
		t.Fatal(err)
	}
	got := exchange(t, s, &http.Client{Transport: s.RoundTripper()}, http.MethodGet, "https://api.segment.test/roles", "")
	if !errors.Is(got.sendErr, syscall.ECONNRESET) {
		t.Errorf("error is %v", got.sendErr)
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := New(Demo(), WithClock(func() time.Time { return at }))
	w := newRawClient(t, s)
	w.want(t, 200, http.MethodGet, "/users?pagination[count]=7", "")
	w.want(t, 404, http.MethodGet, "/users/a%2Fb", "")
	w.want(t, 404, http.MethodGet, "/nothing", "")
	w.sendAs(t, "wrong", http.MethodPatch, "/groups/x", `{"name":"n"}`)
	equal(t, "journal", []Request{
		{Time: at, Operation: "listUsers", Method: "GET", Path: "/users", Query: "pagination[count]=7", Status: 200},
		{Time: at, Operation: "getUser", Method: "GET", Path: "/users/a%2Fb", Status: 404},
		{Time: at, Method: "GET", Path: "/nothing", Status: 404},
		{Time: at, Operation: "updateUserGroup", Method: "PATCH", Path: "/groups/x", Status: 401},
	}, s.Journal())
	s.ResetJournal()
	equal(t, "after reset", 0, len(s.Journal()))
}

func TestOperations_HaveUniqueNames(t *testing.T) {
	t.Parallel()
	names := mapSlice(Operations(), func(o Operation) string { return o.Name })
	slices.Sort(names)
	equal(t, "names", len(names), len(slices.Compact(names)))
}
