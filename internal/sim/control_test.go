package sim

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestControlPlane(t *testing.T) {
	t.Parallel()
	s := New(Demo())
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	// control sends a request without a token.
	control := func(status int, method, path, body string) []byte {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer closeBody(t, resp)
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != status {
			t.Fatalf("%s %s: status %d, want %d: %s", method, path, resp.StatusCode, status, raw)
		}
		return raw
	}
	requests := func() []Request {
		t.Helper()
		var out struct{ Requests []Request }
		if err := json.Unmarshal(control(200, http.MethodGet, "/_sim/journal", ""), &out); err != nil {
			t.Fatal(err)
		}
		return out.Requests
	}
	w := newRawClient(t, s)

	equal(t, "journal", []Request{}, requests())
	control(204, http.MethodPost, "/_sim/faults", `{"faults":[
		{"operation":"listRoles","kind":"status","status":418,"header":{"X-Fault":["yes"]}},
		{"operation":"listUsers","ordinal":2,"kind":"delay","delay":"1ms"}]}`)
	a := w.want(t, 418, http.MethodGet, "/roles", "")
	equal(t, "header", "yes", a.Header.Get("X-Fault"))
	equal(t, "delay", time.Millisecond, s.faults[1].action.Delay)
	if got := requests(); len(got) != 1 || got[0].Operation != "listRoles" || got[0].Status != 418 || got[0].Fault != FaultStatus {
		t.Errorf("journal: %+v", got)
	}
	control(204, http.MethodDelete, "/_sim/faults", "")
	w.want(t, 200, http.MethodGet, "/roles", "")
	control(204, http.MethodPost, "/_sim/faults", `{"faults":[{"operation":"listRoles","query":"count=7","kind":"status","status":418}]}`)
	w.want(t, 200, http.MethodGet, "/roles?pagination.count=8", "")
	w.want(t, 418, http.MethodGet, "/roles?pagination.count=7", "")
	control(204, http.MethodDelete, "/_sim/faults", "")
	control(204, http.MethodDelete, "/_sim/journal", "")
	equal(t, "journal", []Request{}, requests())

	for _, bad := range []string{
		"", "[]", `{"faults":[{"operation":"nothing","kind":"reset"}]}`,
		`{"faults":[{"operation":"listUsers","kind":"delay","delay":"soon"}]}`,
		`{"faults":[{"operation":"listUsers","kind":"reset","ordnal":2}]}`,
	} {
		control(422, http.MethodPost, "/_sim/faults", bad)
	}
	control(404, http.MethodPut, "/_sim/journal", "")

	modes := func() string { t.Helper(); return string(control(200, http.MethodGet, "/_sim/modes", "")) }
	const none = `{"lag":"0s","replicas":1,"replicaLag":"0s","normalizing":[]}`
	equal(t, "modes", none, modes())
	for _, bad := range []string{
		"", "[]", `{"lag":"soon"}`, `{"lag":"-1s"}`, `{"lag":null}`, `{"replicaLag":"soon"}`, `{"replicas":0}`, `{"replica":2}`,
		`{"lag":"1s","normalizing":["nothing"]}`,
	} {
		control(422, http.MethodPost, "/_sim/modes", bad)
		equal(t, "modes after "+bad, none, modes())
	}
	control(204, http.MethodPost, "/_sim/modes", `{"lag":"1h","normalizing":["reverses","adds-minimal"]}`)
	control(204, http.MethodPost, "/_sim/modes", `{"replicas":2,"replicaLag":"1m"}`)
	equal(t, "modes", `{"lag":"1h0m0s","replicas":2,"replicaLag":"1m0s","normalizing":["reverses","adds-minimal"]}`, modes())
	late := len(s.Workspace().Groups)
	w.want(t, 200, http.MethodPost, "/groups", `{"name":"late"}`)
	equal(t, "groups in the list", late, len(ids(t, w.want(t, 200, http.MethodGet, "/groups", ""), "userGroups")))
	control(204, http.MethodPost, "/_sim/modes", `{"lag":"0s","replicas":1,"replicaLag":"0s","normalizing":[]}`)
	equal(t, "modes", none, modes())
	equal(t, "groups in the list", late+1, len(ids(t, w.want(t, 200, http.MethodGet, "/groups", ""), "userGroups")))
	control(404, http.MethodGet, "/_sim/", "")

	w.want(t, 200, http.MethodPost, "/groups", `{"name":"seen from outside"}`)
	var state struct{ Workspace Workspace }
	if err := json.Unmarshal(control(200, http.MethodGet, "/_sim/workspace", ""), &state); err != nil {
		t.Fatal(err)
	}
	equal(t, "state", s.Workspace(), &state.Workspace)
}

// The journal has neither tokens nor bodies.
func TestNoSecretInTheJournal(t *testing.T) {
	t.Parallel()
	s := New(Demo(), WithToken("SECRET-token"))
	w := newRawClient(t, s)
	w.want(t, 200, http.MethodGet, "/sources", "")
	w.want(t, 200, http.MethodPost, "/groups", `{"name":"SECRET-body"}`)
	if journal := toJSON(t, s.Journal()); strings.Contains(journal, "SECRET") {
		t.Error(journal)
	}
}
