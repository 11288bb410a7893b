package contract

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOperations(t *testing.T) {
	t.Parallel()
	for _, op := range newValidator(t).Operations() {
		want := 60
		if op.Method == http.MethodGet {
			want = 0
		}
		if op.RateLimit != want {
			t.Errorf("%s %s: %d requests per minute, want %d", op.Method, op.Path, op.RateLimit, want)
		}
	}
}

func newRequest(t *testing.T, method, target, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:8080"+target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer fake-token")
	if body != "" {
		r.Body = io.NopCloser(strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// The official client does not send these requests, but the documentation has them.
func TestAcceptedRequests(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
	for _, tt := range []struct{ method, target, body, want string }{
		{"GET", "", "", "getWorkspace"},
		{"GET", "/users?pagination.count=1000&pagination.cursor=Mg%3D%3D", "", "listUsers"},
		{"GET", "/users?pagination%5Bcount%5D=1", "", "listUsers"},
		{"GET", "/functions?resourceType=INSERT_TRANSFORMATION", "", "listFunctions"},
		{"DELETE", "/invites?emails.1=b%40example.com&emails.0=a%40example.com", "", "deleteInvites"},
		{"PUT", "/users/u/permissions", `{"permissions":[]}`, "replacePermissionsForUser"},
	} {
		if got, err := v.Request(newRequest(t, tt.method, tt.target, tt.body)); err != nil || got != tt.want {
			t.Errorf("%s %s: got %q, %v", tt.method, tt.target, got, err)
		}
	}
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	const resource = `{"id":"w","type":"WORKSPACE"}`
	v := newValidator(t)
	tests := []struct {
		method, target, body string
		want                 Error
	}{
		{"DELETE", "/groups/g/users?emails.0=a", "", Error{In: InMethod, Name: "DELETE", Rule: "unknown"}},
		{"PUT", "/groups/g/users", `{"emails":[]}`, Error{In: InMethod, Name: "PUT", Rule: "unknown"}},
		{"GET", "/group/g/users", "", Error{In: InMethod, Name: "GET", Rule: "unknown"}},
		{"HEAD", "/users", "", Error{In: InMethod, Name: "HEAD", Rule: "unknown"}},
		{"GET", "/roles/r", "", Error{In: InPath, Name: "/roles/r", Rule: "unknown"}},
		{"GET", "/users/", "", Error{In: InPath, Name: "/users/", Rule: "unknown"}},
		{"GET", "/users/u/", "", Error{In: InPath, Name: "/users/u/", Rule: "unknown"}},
		{"GET", "//users", "", Error{In: InPath, Name: "//users", Rule: "unknown"}},
		{"GET", "/users//groups", "", Error{In: InPath, Name: "/users//groups", Rule: "unknown"}},
		{"GET", "/Users", "", Error{In: InPath, Name: "/Users", Rule: "unknown"}},
		{"DELETE", "/labels/key", "", Error{In: InPath, Name: "/labels/key", Rule: "unknown"}},
		{"GET", "/users/" + strings.Repeat("é", 256), "", Error{Operation: "getUser", In: InPath, Name: "userId", Rule: "maxLength"}},

		{"GET", "/users?limit=1", "", Error{Operation: "listUsers", In: InQuery, Name: "limit", Rule: "unknown"}},
		{"GET", "/users?count=1", "", Error{Operation: "listUsers", In: InQuery, Name: "count", Rule: "unknown"}},
		{"GET", "/users/u?pagination[count]=1", "", Error{Operation: "getUser", In: InQuery, Name: "pagination[count]", Rule: "unknown"}},
		{"GET", "/labels?pagination[count]=1", "", Error{Operation: "listLabels", In: InQuery, Name: "pagination[count]", Rule: "unknown"}},
		{"GET", "/users?pagination[count]=0", "", Error{Operation: "listUsers", In: InQuery, Name: "pagination[count]", Rule: "minimum"}},
		{"GET", "/users?pagination.count=0", "", Error{Operation: "listUsers", In: InQuery, Name: "pagination.count", Rule: "minimum"}},
		{"GET", "/users?pagination[count]=1001", "", Error{Operation: "listUsers", In: InQuery, Name: "pagination[count]", Rule: "maximum"}},
		{"GET", "/users?pagination[count]=ten", "", Error{Operation: "listUsers", In: InQuery, Name: "pagination[count]", Rule: "type"}},
		{"GET", "/users?pagination[count]=1.5", "", Error{Operation: "listUsers", In: InQuery, Name: "pagination[count]", Rule: "type"}},
		{"GET", "/users?pagination[count]=1&pagination[count]=2", "", Error{Operation: "listUsers", In: InQuery, Name: "pagination[count]", Rule: "repeated"}},
		{"GET", "/users?pagination[cursor]=", "", Error{Operation: "listUsers", In: InQuery, Name: "pagination[cursor]", Rule: "minLength"}},
		{"GET", "/users?pagination[cursor]=%zz", "", Error{Operation: "listUsers", In: InQuery, Rule: "syntax"}},
		{"GET", "/functions", "", Error{Operation: "listFunctions", In: InQuery, Name: "resourceType", Rule: "required"}},
		{"GET", "/functions?resourceType=EDGE", "", Error{Operation: "listFunctions", In: InQuery, Name: "resourceType", Rule: "enum"}},

		{"DELETE", "/users", "", Error{Operation: "deleteUsers", In: InQuery, Name: "userIds", Rule: "required"}},
		{"DELETE", "/users?userIds=a", "", Error{Operation: "deleteUsers", In: InQuery, Name: "userIds", Rule: "unknown"}},
		{"DELETE", "/users?userIds[]=a", "", Error{Operation: "deleteUsers", In: InQuery, Name: "userIds[]", Rule: "unknown"}},
		{"DELETE", "/users?userIds.1=a", "", Error{Operation: "deleteUsers", In: InQuery, Name: "userIds.0", Rule: "gap"}},
		{"DELETE", "/users?userIds.0=a&userIds.2=b", "", Error{Operation: "deleteUsers", In: InQuery, Name: "userIds.1", Rule: "gap"}},
		{"DELETE", "/users?userIds.0=a&userIds.0=b", "", Error{Operation: "deleteUsers", In: InQuery, Name: "userIds.0", Rule: "repeated"}},
		{"DELETE", "/users?userIds.00=a", "", Error{Operation: "deleteUsers", In: InQuery, Name: "userIds.00", Rule: "unknown"}},
		{"DELETE", "/users?userIds.-1=a", "", Error{Operation: "deleteUsers", In: InQuery, Name: "userIds.-1", Rule: "unknown"}},
		{"DELETE", "/users?userIds.0=", "", Error{Operation: "deleteUsers", In: InQuery, Name: "userIds", Rule: "empty"}},
		{"DELETE", "/invites?userIds.0=a", "", Error{Operation: "deleteInvites", In: InQuery, Name: "userIds.0", Rule: "unknown"}},
		{"DELETE", "/group/g/users", "", Error{Operation: "removeUsersFromUserGroup", In: InQuery, Name: "emails", Rule: "required"}},
		{"DELETE", "/invites?emails.0=a", `{"emails":["a"]}`, Error{Operation: "deleteInvites", In: InBody, Rule: "unknown"}},

		{"POST", "/groups", "", Error{Operation: "createUserGroup", In: InBody, Rule: "required"}},
		{"POST", "/groups", "{", Error{Operation: "createUserGroup", In: InBody, Rule: "syntax"}},
		{"POST", "/groups", `{"name":"a"}{}`, Error{Operation: "createUserGroup", In: InBody, Rule: "syntax"}},
		{"POST", "/groups", `{}`, Error{Operation: "createUserGroup", In: InBody, Name: "/name", Rule: "required"}},
		{"POST", "/groups", `{"name":1}`, Error{Operation: "createUserGroup", In: InBody, Name: "/name", Rule: "type"}},
		{"POST", "/groups", `{"name":"a","description":"b"}`, Error{Operation: "createUserGroup", In: InBody, Name: "/description", Rule: "properties"}},
		{"PUT", "/users/u/permissions", `{"permissions":null}`, Error{Operation: "replacePermissionsForUser", In: InBody, Name: "/permissions", Rule: "nullable"}},
		{"PUT", "/users/u/permissions", `{"permissions":[{"roleId":"r"}]}`, Error{Operation: "replacePermissionsForUser", In: InBody, Name: "/permissions/0/resources", Rule: "required"}},
		{"PUT", "/users/u/permissions", `{"permissions":[{"roleId":"r","resources":[]}]}`, Error{Operation: "replacePermissionsForUser", In: InBody, Name: "/permissions/0/resources", Rule: "minItems"}},
		{"PUT", "/users/u/permissions", `{"permissions":[{"roleId":"r","resources":[` + resource + `],"labels":[]}]}`, Error{Operation: "replacePermissionsForUser", In: InBody, Name: "/permissions/0/labels", Rule: "properties"}},
		{"PUT", "/users/u/permissions", `{"permissions":[{"roleId":"r","roleName":"R","resources":[` + resource + `]}]}`, Error{Operation: "replacePermissionsForUser", In: InBody, Name: "/permissions/0/roleName", Rule: "properties"}},
		{"POST", "/groups/g/permissions", `{"permissions":[{"roleId":"r","resources":[{"id":"d","type":"DESTINATION"}]}]}`, Error{Operation: "addPermissionsToUserGroup", In: InBody, Name: "/permissions/0/resources/0/type", Rule: "enum"}},
		{"POST", "/invites", `{"invites":[{"email":"a","permissions":[{"roleId":"r","resources":[{"id":"w","type":"WORKSPACE","labels":[]}]}]}]}`, Error{Operation: "createInvites", In: InBody, Name: "/invites/0/permissions/0/resources/0/labels", Rule: "properties"}},
		{"POST", "/labels", `{"key":"a","value":"b"}`, Error{Operation: "createLabel", In: InBody, Name: "/key", Rule: "properties"}},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.target+" "+tt.body, func(t *testing.T) {
			t.Parallel()
			operation, err := v.Request(newRequest(t, tt.method, tt.target, tt.body))
			wantBreach(t, err, tt.want)
			if operation != tt.want.Operation {
				t.Errorf("operation %q, want %q", operation, tt.want.Operation)
			}
		})
	}
	t.Run("content type", func(t *testing.T) {
		t.Parallel()
		r := newRequest(t, http.MethodPost, "/groups", `{"name":"a"}`)
		r.Header.Set("Content-Type", "text/plain")
		_, err := v.Request(r)
		wantBreach(t, err, Error{Operation: "createUserGroup", In: InHeader, Name: "Content-Type", Rule: "unknown"})
	})
	for _, value := range []string{"", "Bearer ", "Basic ZmFrZQ=="} {
		t.Run("authorization "+value, func(t *testing.T) {
			t.Parallel()
			r := newRequest(t, http.MethodGet, "/users", "")
			r.Header.Set("Authorization", value)
			_, err := v.Request(r)
			wantBreach(t, err, Error{Operation: "listUsers", In: InHeader, Name: "Authorization", Rule: "security"})
		})
	}
}

func TestRefusedResponses(t *testing.T) {
	t.Parallel()
	const page = `"pagination":{"current":"MA=="}`
	v := newValidator(t)
	tests := []struct {
		operation string
		status    int
		body      string
		want      Error
	}{
		{"listUsers", 200, `{"data":{"users":[]}}`, Error{In: InBody, Name: "/data/pagination", Rule: "required"}},
		{"listUsers", 200, `{"data":{"users":[],"pagination":{}}}`, Error{In: InBody, Name: "/data/pagination/current", Rule: "required"}},
		{"listUsers", 200, `{"data":{"users":[],"pagination":null}}`, Error{In: InBody, Name: "/data/pagination", Rule: "nullable"}},
		{"listUsers", 200, `{"data":{"users":null,` + page + `}}`, Error{In: InBody, Name: "/data/users", Rule: "nullable"}},
		{"listUsers", 200, `{"data":{"users":[{"id":"i","name":null,"email":"e"}],` + page + `}}`, Error{In: InBody, Name: "/data/users/0/name", Rule: "nullable"}},
		{"listUsers", 200, `{"data":{"users":[{"id":"i","name":""}],` + page + `}}`, Error{In: InBody, Name: "/data/users/0/email", Rule: "required"}},
		{"listUsers", 200, `{"data":{"users":[{"id":"i","name":"","email":"e","status":"ACTIVE"}],` + page + `}}`, Error{In: InBody, Name: "/data/users/0/status", Rule: "properties"}},
		{"listUsers", 200, `{"data":null}`, Error{In: InBody, Name: "/data", Rule: "nullable"}},
		{"listUsers", 200, `{"errors":[{"type":"x"}]}`, Error{In: InBody, Name: "/errors", Rule: "properties"}},
		{"listUsers", 200, `null`, Error{In: InBody, Name: "/", Rule: "nullable"}},
		{"listUsers", 200, ``, Error{In: InBody, Rule: "syntax"}},
		{"listUsers", 200, `{"data":{"users":[],` + page, Error{In: InBody, Rule: "syntax"}},
		{"listUsers", 200, `{"data":{"users":[],` + page + `}}x`, Error{In: InBody, Rule: "syntax"}},
		{"listUsers", 201, `{"data":{"users":[],` + page + `}}`, Error{In: InStatus, Rule: "unknown"}},
		{"listUsers", 204, ``, Error{In: InStatus, Rule: "unknown"}},
		{"listUsers", 301, ``, Error{In: InStatus, Rule: "unknown"}},
		{"listUsers", 0, ``, Error{In: InStatus, Rule: "unknown"}},
		{"createInvites", 200, `{"data":{"emails":[]}}`, Error{In: InStatus, Rule: "unknown"}},
		{"listInvites", 200, `{"data":{"invites":[{"email":"e"}],` + page + `}}`, Error{In: InBody, Name: "/data/invites/0", Rule: "type"}},
		{"listInvitesFromUserGroup", 200, `{"data":{"invites":[],` + page + `}}`, Error{In: InBody, Name: "/data/invites", Rule: "properties"}},
		{"listUserGroupsFromUser", 200, `{"data":{"userGroups":[],` + page + `}}`, Error{In: InBody, Name: "/data/userGroups", Rule: "properties"}},
		{"getUserGroup", 200, `{"data":{"userGroup":{"id":"g","name":"n","memberCount":"1"}}}`, Error{In: InBody, Name: "/data/userGroup/memberCount", Rule: "type"}},
		{"deleteUsers", 200, `{"data":{"status":"OK"}}`, Error{In: InBody, Name: "/data/status", Rule: "enum"}},
		{"listRoles", 429, `{"error":"slow down"}`, Error{In: InBody, Name: "/error", Rule: "properties"}},
		{"listRoles", 500, `{"errors":[{"message":"no type"}]}`, Error{In: InBody, Name: "/errors/0/type", Rule: "required"}},
		{"noSuchOperation", 200, `{}`, Error{In: InPath, Rule: "unknown"}},
	}
	header := http.Header{"Content-Type": {"application/json"}}
	for _, tt := range tests {
		t.Run(tt.operation+" "+tt.body, func(t *testing.T) {
			t.Parallel()
			tt.want.Operation, tt.want.Status = tt.operation, tt.status
			wantBreach(t, v.Response(tt.operation, tt.status, header, []byte(tt.body)), tt.want)
		})
	}
	const limited = `{"errors":[{"type":"RequestError"}]}`
	for _, tt := range []struct{ name, value, rule string }{
		{"Retry-After", "soon", "type"}, {"X-RateLimit-Remaining", "-1", "minimum"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bad := header.Clone()
			bad.Set(tt.name, tt.value)
			err := v.Response("listRoles", http.StatusTooManyRequests, bad, []byte(limited))
			wantBreach(t, err, Error{Operation: "listRoles", Status: 429, In: InHeader, Name: tt.name, Rule: tt.rule})
		})
	}
	t.Run("content type", func(t *testing.T) {
		t.Parallel()
		html := http.Header{"Content-Type": {"text/html"}}
		err := v.Response("listRoles", http.StatusTooManyRequests, html, []byte(limited))
		wantBreach(t, err, Error{Operation: "listRoles", Status: 429, In: InHeader, Name: "Content-Type", Rule: "unknown"})
	})
}

func wantBreach(t *testing.T, err error, want Error) {
	t.Helper()
	got := new(Error)
	if !errors.As(err, &got) {
		t.Fatalf("got %v, want %v", err, &want)
	}
	if diff := cmp.Diff(want, *got, cmpopts.IgnoreFields(Error{}, "Detail")); diff != "" {
		t.Errorf("breach (-want +got):\n%s", diff)
	}
}

// A breach may be logged, so it must not quote a secret from a body or a header.
func TestErrorsQuoteNoSecret(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
	header := http.Header{"Content-Type": {"application/json"}}
	r := newRequest(t, http.MethodPost, "/groups", `{"name":["s3cret"]}`)
	r.Header.Set("Authorization", "s3cret")
	_, noToken := v.Request(r)
	r.Header.Set("Authorization", "Bearer s3cret")
	_, badBody := v.Request(r)
	for _, err := range []error{
		noToken,
		badBody,
		v.Response("getSource", http.StatusOK, header, []byte(`{"data":{"source":{"writeKeys":"s3cret"}}}`)),
		v.Response("getFunction", http.StatusOK, header, []byte(`{"data":{"function":{"code":{"s":"s3cret"}}}}`)),
		v.Response("getFunction", http.StatusOK, header, []byte(`s3cret`)),
	} {
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("got %v, want an error without the secret", err)
		}
	}
}

func TestHandlerAndRoundTripperChangeNothing(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
	tests := []struct {
		name           string
		method, target string
		body           string
		status         int
		answer         string
		wantBreaches   int // On each side.
	}{
		{"good", http.MethodPost, "/groups", `{"name":"a"}`, 200, `{"data":{"userGroup":{"id":"g","name":"a","memberCount":0}}}`, 0},
		{"bad request", http.MethodGet, "/users?limit=1", "", 422, `{"errors":[{"type":"input-validation"}]}`, 1},
		{"bad response", http.MethodGet, "/users", "", 200, `<html>`, 1},
		{"both bad", http.MethodGet, "/users?limit=1", "", 200, `{}`, 2},
		{"no operation", http.MethodGet, "/nowhere", "", 200, `{}`, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			breaches := make(chan error, 10)
			report := func(err error) { breaches <- err }
			server := httptest.NewServer(v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if body, err := io.ReadAll(r.Body); err != nil || string(body) != tt.body {
					t.Errorf("server read %q, %v", body, err)
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusEarlyHints)
				w.WriteHeader(tt.status)
				w.Header().Set("X-Late", "not sent")
				if _, err := io.WriteString(w, tt.answer); err != nil {
					t.Error(err)
				}
			}), report))
			defer server.Close()
			r := newRequest(t, tt.method, tt.target, tt.body)
			r.URL.Host, r.Host = server.Listener.Addr().String(), ""
			sent := r.Body
			resp, err := v.RoundTripper(server.Client().Transport, report).RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			if r.Body != sent {
				t.Error("the caller's request was changed")
			}
			answer, err := io.ReadAll(resp.Body)
			if err = errors.Join(err, resp.Body.Close()); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || string(answer) != tt.answer || resp.Header.Get("X-Late") != "" {
				t.Errorf("client got %d %q %v", resp.StatusCode, answer, resp.Header)
			}
			server.Close()
			if len(breaches) != 2*tt.wantBreaches {
				t.Errorf("%d breaches, want %d on each side", len(breaches), tt.wantBreaches)
			}
			for range len(breaches) {
				t.Log(<-breaches)
			}
		})
	}
}

func TestInterruptedBodiesStayInterrupted(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
	broken := func() io.ReadCloser {
		return io.NopCloser(io.MultiReader(strings.NewReader(`{"data":`), iotest.ErrReader(io.ErrUnexpectedEOF)))
	}
	check := func(body io.Reader) {
		t.Helper()
		got, err := io.ReadAll(body)
		if string(got) != `{"data":` || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("read %q, %v", got, err)
		}
	}

	r := newRequest(t, http.MethodPost, "/groups", "")
	r.Body = broken()
	if _, err := v.Request(r); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
	check(r.Body)

	var reported error
	transport := v.RoundTripper(roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: broken()}, nil
	}), func(err error) { reported = err })
	resp, err := transport.RoundTrip(newRequest(t, http.MethodGet, "/users", ""))
	if err != nil {
		t.Fatal(err)
	}
	check(resp.Body)
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	if !errors.Is(reported, io.ErrUnexpectedEOF) {
		t.Errorf("reported %v", reported)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("GET", "/users", "pagination[count]=1&emails.0=a", "application/json", "")
	f.Add("DELETE", "/group/a%2Fb/users", "emails.0=a&emails.1=b", "", "")
	f.Add("PUT", "/users/u/permissions", "", "application/json; charset=utf-8", `{"permissions":[{"roleId":1e999}]}`)
	f.Add("", "", ";%", "multipart/form-data", "\x00")
	v, err := New()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, path, query, contentType, body string) {
		r := newRequest(t, http.MethodGet, "/", body)
		r.Method, r.URL.Path, r.URL.RawPath, r.URL.RawQuery = method, path, path, query
		r.Header.Set("Content-Type", contentType)
		operation, err := v.Request(r)
		if operation == "" && err == nil {
			t.Error("neither operation nor error")
		}
		if got, err := io.ReadAll(r.Body); err != nil || string(got) != body {
			t.Errorf("body %q became %q, %v", body, got, err)
		}
		r.URL, r.Header, r.Body = nil, nil, nil
		if _, err := v.Request(r); err == nil {
			t.Error("a request without URL and header was accepted")
		}
	})
}

func FuzzResponse(f *testing.F) {
	v, err := New()
	if err != nil {
		f.Fatal(err)
	}
	for _, op := range v.Operations() {
		f.Add(op.ID, 200, "application/json", "1", []byte(`{"data":{}}`))
	}
	f.Fuzz(func(_ *testing.T, operation string, status int, contentType, limit string, body []byte) {
		header := http.Header{"Content-Type": {contentType}, "Retry-After": {limit}, "X-Ratelimit-Consumed": {limit}}
		// Any result is right, except a panic.
		_ = v.Response(operation, status, header, body)
		_ = v.Response(operation, status, nil, nil)
	})
}
