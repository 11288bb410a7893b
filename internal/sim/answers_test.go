package sim

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestWithAnswers(t *testing.T) {
	t.Parallel()
	s := New(Demo(), WithLimit(100), WithAnswers(func(a *Answer) {
		switch {
		case a.Operation == "listRoles":
			a.Fail(http.StatusForbidden)
		case a.Data() != nil:
			a.Data()["extra"] = true
			a.Header["X-Ratelimit-Limit"] = []string{"7"}
		}
	}), WithAnswers(func(a *Answer) {
		if a.Operation == "" {
			a.Status = http.StatusTeapot
		}
	}))
	for path, want := range map[string]struct {
		status     int
		body       string
		remaining  bool
		limitValue string
	}{
		"/roles":  {http.StatusForbidden, `"type":"forbidden"`, false, ""},
		"/labels": {http.StatusOK, `"extra":true`, true, "7"},
		"/nobody": {http.StatusTeapot, `"type":"not-found"`, false, ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://sim"+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.Token())
		resp, err := s.RoundTripper().RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want.status || !strings.Contains(string(body), want.body) {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
		if got := resp.Header.Get("X-Ratelimit-Remaining") != ""; got != want.remaining || resp.Header.Get("X-Ratelimit-Limit") != want.limitValue {
			t.Errorf("%s: headers %v", path, resp.Header)
		}
	}
	if !s.Journal()[0].Altered {
		t.Error("the journal does not say that an answer was altered")
	}
}
