package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// marker is in everything of a marked workspace that could identify it.
const marker = "qzmrk"

// mark returns a text with the marker. Known prefixes of ids remain at the beginning, and
// the marker is like a prefix where there is none.
func mark(text string) string {
	prefix := idPrefix.FindString(text)
	known := slices.Contains([]string{"spa_", "sfn_"}, prefix) || slices.Contains(functionPrefixes, prefix)
	switch {
	case text == "":
		return ""
	case known:
		return prefix + marker + text[len(prefix):]
	case strings.Contains(text, "@"):
		return marker + "." + text
	}
	return marker + "_" + text
}

// markAll marks all strings in a value, but for names that are Segment's own.
func markAll(v reflect.Value) {
	own := []string{"Workspace Owner", "Minimal Workspace Access", "Source Admin", segmentapi.RoleSourceReadOnly, "WORKSPACE", "SOURCE", "FUNCTION", "SPACE", "WAREHOUSE"}
	switch v.Kind() { //nolint:exhaustive // Numbers need no marks.
	case reflect.String:
		if !slices.Contains(own, v.String()) {
			v.SetString(mark(v.String()))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			text := reflect.New(v.Elem().Type())
			text.Elem().Set(v.Elem())
			markAll(text.Elem())
			v.Set(text)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			// The types of functions are not the workspace's.
			if v.Type().Field(i).Name != "ResourceType" {
				markAll(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			markAll(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			value := v.MapIndex(key)
			v.SetMapIndex(key, reflect.Value{})
			if text, ok := value.Interface().(string); ok {
				value = reflect.ValueOf(mark(text))
			}
			v.SetMapIndex(reflect.ValueOf(mark(key.String())), value)
		}
	}
}

// markAnswer adds to each object of an answer a field of an odd name and one with a marked
// value, and marks what errors quote.
func markAnswer(a *sim.Answer) {
	markObjects(a.Body)
	for _, e := range rowsOf(a.Body["errors"]) {
		if object, ok := e.(map[string]any); ok {
			object["message"], object["data"] = marker, map[string]any{marker: marker}
		}
	}
	a.Header.Set("Server", marker)
	a.Header.Set(headerReset, marker+" 12:30")
	a.Header.Set("Retry-After", marker)
}

func markObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, member := range slices.Collect(maps.Values(v)) {
			markObjects(member)
		}
		v["key 1 of "+marker] = marker
		v["another"] = map[string]any{marker: marker}
	case []any:
		for _, row := range v {
			markObjects(row)
		}
	}
}

// checkUnmarked fails the test if a text has the marker or a secret.
func checkUnmarked(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{marker, "secret-", "example.com"} {
		if i := strings.Index(strings.ToLower(text), secret); i >= 0 {
			t.Errorf("%q is in %q", secret, text[max(0, i-100):min(len(text), i+100)])
		}
	}
}

// No report and no error identifies a workspace, whatever Segment answers.
func TestRun_NothingIdentifies(t *testing.T) {
	t.Parallel()
	tables := map[string]map[string]answer{"demo": answers(), "hostile": failureAnswers()}
	for wsName, table := range tables {
		for name, tt := range table {
			t.Run(wsName+", "+name, func(t *testing.T) {
				t.Parallel()
				ws, more := sim.Demo(), opts(sim.WithAnswers(markAnswer))
				if wsName == "hostile" {
					ws, more = sim.Hostile(), nil
				}
				marked := tt
				marked.opts = slices.Concat(tt.opts, more, opts(sim.WithToken(marker+"-token")))
				marked.edit = func(ws *sim.Workspace) {
					if tt.edit != nil {
						tt.edit(ws)
					}
					markAll(reflect.ValueOf(ws).Elem())
				}
				o := options(marked.server(t, ws))
				o.MemberToken = tt.member
				checkUnmarked(t, runText(t, o))
			})
		}
	}
}

// runText returns all that a run returns.
func runText(t *testing.T, o Options) string {
	t.Helper()
	report, err := Run(t.Context(), o)
	if err != nil {
		return err.Error()
	}
	encoded, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

// If the workspace cannot be read, the error says what to look at, and quotes nothing.
func TestRun_UnreadableWorkspace(t *testing.T) {
	t.Parallel()
	body := `{"errors":[{"type":"` + marker + `","message":"` + marker + `"}]}`
	for name, tt := range map[string]struct {
		fault sim.Fault
		want  string
	}{
		"401":        {sim.Fault{Kind: sim.FaultStatus, Status: http.StatusUnauthorized, Body: body}, "(401)"},
		"404":        {sim.Fault{Kind: sim.FaultStatus, Status: http.StatusNotFound, Body: body}, "(404)"},
		"429":        {sim.Fault{Kind: sim.FaultStatus, Status: http.StatusTooManyRequests}, "(429)"},
		"503":        {sim.Fault{Kind: sim.FaultStatus, Status: http.StatusServiceUnavailable, Body: body}, "(503)"},
		"no answer":  {sim.Fault{Kind: sim.FaultReset}, "(no answer)"},
		"HTML":       {sim.Fault{Kind: sim.FaultHTML, Status: http.StatusOK}, "(an answer that cannot be used)"},
		"a redirect": {sim.Fault{Kind: sim.FaultRedirect, Header: http.Header{"Location": {"/" + marker}}}, "(an answer that cannot be used)"},
		"not JSON":   {sim.Fault{Kind: sim.FaultStatus, Status: http.StatusOK, Body: `{"data":{"workspace":"` + marker + `"}}`}, "(an answer that cannot be used)"},
		"nothing":    {sim.Fault{Kind: sim.FaultEmptyObject}, "(an answer that cannot be used)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := sim.Demo()
			markAll(reflect.ValueOf(ws).Elem())
			tt.fault.Operation = "getWorkspace"
			s := answer{fault: tt.fault}.server(t, ws)
			_, err := Run(t.Context(), options(s))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "check the token and the region") {
				t.Fatalf("the error is %v, want %q", err, tt.want)
			}
			checkUnmarked(t, err.Error())
			if n := len(s.Journal()); n != 1 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

// A large workspace takes a few hundred requests.
func TestRun_RequestsAreBounded(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		size sim.Size
		want int
	}{
		// The workspace, 5 pages of users, 12 other lists, 50 groups with two lists each,
		// 100 users, 1001 rows, the wrong token.
		"5,000 users":   {sim.Size{Users: 5000, Groups: 200, Sources: 900, Warehouses: 10, Functions: 100, Spaces: 5, Invites: 50, Labels: 20, MembersPerGroup: 20}, 1 + 5 + 12 + 3*MaxGroups + MaxUsers + 2},
		"nobody":        {sim.Size{}, 1 + 1 + 12 + 2},
		"a large group": {sim.Size{Users: 2500, Groups: 1, MembersPerGroup: 2500}, 1 + 3 + 12 + 2 + 3 + MaxUsers + 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sim.New(sim.Sized(tt.size))
			report, err := Run(t.Context(), options(s))
			if err != nil {
				t.Fatal(err)
			}
			if got := len(s.Journal()); got != tt.want || report.Requests != tt.want {
				t.Errorf("%d requests, and %d reported; want %d", got, report.Requests, tt.want)
			}
		})
	}
}

// A run that is stopped sends nothing more, whatever it is doing.
func TestRun_Stopped(t *testing.T) {
	t.Parallel()
	plain, err := Run(t.Context(), options(sim.New(sim.Demo())))
	if err != nil {
		t.Fatal(err)
	}
	const step = 3 // Of all requests, the last one included.
	for n := plain.Requests; n > 0; n -= step {
		s := sim.New(sim.Demo())
		ctx, cancel := context.WithCancel(t.Context())
		o := options(s)
		o.MemberToken = weakToken
		o.Transport = stopping{o.Transport, s, n, cancel}
		report, err := Run(ctx, o)
		if got := len(s.Journal()); !errors.Is(err, context.Canceled) || report != nil || got != n {
			t.Errorf("stopped at request %d: %d requests, %v", n, got, err)
		}
		cancel()
	}
}

// stopping cancels a run when the answer to its nth request arrives.
type stopping struct {
	base   http.RoundTripper
	server *sim.Server
	n      int
	cancel context.CancelFunc
}

// RoundTrip implements http.RoundTripper.
func (s stopping) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.base.RoundTrip(req)
	if len(s.server.Journal()) == s.n {
		s.cancel()
	}
	return resp, err
}

// A run that is stopped does not wait for an answer.
func TestRun_StoppedWhileWaiting(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"getWorkspace", "listRoles", "getUser", "listInvitesFromUserGroup"} {
		s := sim.New(sim.Demo())
		ctx, cancel := context.WithCancel(t.Context())
		if err := s.Committed(operation, 1, func(ctx context.Context) {
			cancel()
			<-ctx.Done()
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := Run(ctx, options(s)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", operation, err)
		}
		cancel()
	}
}
