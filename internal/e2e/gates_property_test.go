package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// A gateError is an entry of Segment's error envelope.
type gateError struct {
	Type    string `json:"type,omitempty"`
	Message string `json:"message,omitempty"`
	Field   string `json:"field,omitempty"`
}

// gateOutcome is the outcome by the design of an answer on a list that a plan may lack.
func gateOutcome(list gatedList, status int, envelope bool, entries []gateError) string {
	aboutRequest := slices.ContainsFunc(entries, func(e gateError) bool { return e.Field != "" || e.Type == "input-validation" })
	fromSegment := envelope && len(entries) > 0
	switch {
	case fromSegment && list.kind == insertTransformation && (status == 400 || status == 422):
		return unknown
	case fromSegment && (status == 404 || status == 400 && !aboutRequest):
		return skipped
	}
	return map[int]string{
		400: failsInvalidArgument, 422: failsInvalidArgument, 401: failsUnauthenticated, 403: failsPermissionDenied, 404: failsFailedPrecondition,
	}[status]
}

// For any answer on a list that a plan may lack, the sync skips the type only if Segment
// itself says so, without finding fault with the request. Everything else fails it.
func TestAnyAnswerOnAGatedList(t *testing.T) {
	t.Parallel()
	lists := slices.DeleteFunc(gatedLists(), func(l gatedList) bool { return l.lacks == "" })
	dir, cases, outcomes := t.TempDir(), 0, &counter{}
	rapid.Check(t, func(t *rapid.T) {
		list := lists[rapid.IntRange(0, len(lists)-1).Draw(t, "list")]
		status := rapid.SampledFrom([]int{400, 404, 401, 403, 422}).Draw(t, "status")
		envelope := rapid.SampledFrom([]bool{true, true, true, false}).Draw(t, "envelope")
		entries := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) gateError {
			return gateError{
				Type:    rapid.SampledFrom([]string{"bad-request", "input-validation", "not-found", "forbidden"}).Draw(t, "type"),
				Message: rapid.SampledFrom([]string{"Your plan does not include User Groups.", `"sort" is not allowed`, "input-validation"}).Draw(t, "message"),
				Field:   rapid.SampledFrom([]string{"", "", "sort"}).Draw(t, "field"),
			}
		}), 0, 2).Draw(t, "entries")
		key := "errors"
		if !envelope {
			key = "problems"
		}
		body, err := json.Marshal(map[string]any{key: append([]gateError{}, entries...)})
		if err != nil {
			t.Fatal(err)
		}
		s := serve(t, gatedWorkspace())
		simtest.Inject(t, s.Server.Server, list.fault(sim.Fault{Kind: sim.FaultStatus, Status: status, Body: string(body)}))
		cases++
		o := syncInto(t.Context(), t, s, filepath.Join(dir, fmt.Sprintf("%d.c1z", cases)), 0)
		outcomes.add(o.verdict())
		if want := gateOutcome(list, status, envelope, entries); o.verdict() != want {
			t.Fatalf("%s, %d %s: outcome %s, want %s: %v", list.name(), status, body, o.verdict(), want, o.err)
		}
		if o.err == nil {
			ws := gatedWorkspace()
			list.drop(ws)
			compare(t, expected(ws, builtTypes()), o.contents)
		}
	})
	t.Logf("%d cases: %v", cases, outcomes)
}
