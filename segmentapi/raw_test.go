package segmentapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/public-api-sdk-go/api"
)

// getPlan requests a tracking plan, which this package has no method for.
func getPlan(ctx context.Context, c *Client, id string) (*api.GetTrackingPlanV1Output, error) {
	return Do(ctx, c, "getTrackingPlan", func(ctx context.Context) api.ApiGetTrackingPlanRequest {
		return c.Raw().TrackingPlansAPI.GetTrackingPlan(ctx, id)
	})
}

func TestDo(t *testing.T) {
	t.Parallel()
	var seen *http.Request
	c, sent := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r
		answer(200, jsonType, `{"data":{"trackingPlan":{"id":"plan","name":"Web"}}}`)(w, r)
	})
	out, err := getPlan(t.Context(), c, "plan")
	if err != nil || out.TrackingPlan.Id != "plan" || out.TrackingPlan.GetName() != "Web" || *sent != 1 {
		t.Fatalf("%+v, %v after %d requests", out, err, *sent)
	}
	if seen.URL.Path != "/tracking-plans/plan" || seen.Header.Get("Authorization") != "Bearer "+testToken {
		t.Errorf("%s with %v", seen.URL, seen.Header)
	}
}

// A failed operation has the errors of the methods, with the operation and the request.
func TestDo_Errors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer   http.HandlerFunc
		want     error
		text     string
		attempts int
		segment  bool
	}{
		"not found": {
			answer(404, jsonType, `{"errors":[{"type":"not-found","message":"no such plan"}]}`), ErrNotFound,
			"segment getTrackingPlan (GET /tracking-plans/plan): 404 Not Found; no such plan", 1, true,
		},
		"not of Segment": {answer(403, "text/html", "no"), ErrForbidden, "segment getTrackingPlan (GET /tracking-plans/plan): 403 Forbidden", 1, false},
		"server error":   {answer(503, jsonType, "{}"), ErrServer, "segment getTrackingPlan (GET /tracking-plans/plan): 503 Service Unavailable (after 3 attempts)", 3, false},
		"empty":          {answer(200, jsonType, ""), ErrBadResponse, "segment getTrackingPlan (GET /tracking-plans/plan): bad response: the answer has no data", 0, false},
		"null":           {answer(200, jsonType, "null"), ErrBadResponse, "segment getTrackingPlan (GET /tracking-plans/plan): bad response: the answer is empty", 1, false},
		"without data":   {answer(200, jsonType, `{"data":null}`), ErrBadResponse, "segment getTrackingPlan (GET /tracking-plans/plan): bad response: the answer has no data", 0, false},
		"no JSON":        {answer(200, "text/html", "<p>"), ErrBadResponse, `segment getTrackingPlan (GET /tracking-plans/plan): bad response: the answer is not JSON (content type "text/html")`, 1, false},
		"redirect":       {answer(302, "text/html", ""), ErrBadResponse, "segment getTrackingPlan (GET /tracking-plans/plan): bad response: status 302 is a redirect, which is not followed: check the base URL and the region", 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, _ := serve(t, c.answer, WithRetry(RetryPolicy{MaxAttempts: 3, MaxWait: time.Minute}))
				_, err := getPlan(t.Context(), client, "plan")
				var e *Error
				if !errors.Is(err, c.want) || !errors.As(err, &e) {
					t.Fatal(err)
				}
				if e.Error() != c.text || e.Operation != "getTrackingPlan" || e.Attempts != c.attempts || FromSegment(err) != c.segment {
					t.Errorf("%q: %+v", e.Error(), *e)
				}
			})
		})
	}
}

func TestDo_NotSent(t *testing.T) {
	t.Parallel()
	removeUsers := func(ctx context.Context, c *Client, ids ...string) error {
		_, err := Do(ctx, c, "deleteUsers", func(ctx context.Context) api.ApiDeleteUsersRequest {
			if ids == nil {
				return c.Raw().IAMUsersAPI.DeleteUsers(ctx)
			}
			return c.Raw().IAMUsersAPI.DeleteUsers(ctx).UserIds(ids)
		})
		return err
	}
	t.Run("an argument is missing", func(t *testing.T) {
		t.Parallel()
		c, sent := serve(t, answer(200, jsonType, "{}"))
		err := removeUsers(t.Context(), c)
		if !errors.Is(err, ErrInvalidArgument) || err.Error() != "segment deleteUsers: invalid argument: userIds is required and must be specified" || *sent != 0 {
			t.Errorf("%v after %d requests", err, *sent)
		}
	})
	t.Run("dry run", func(t *testing.T) {
		t.Parallel()
		c, sent := serve(t, answer(200, jsonType, "{}"), WithDryRun())
		if err := removeUsers(t.Context(), c, "u"); err == nil || errors.Is(err, ErrInvalidArgument) || !strings.Contains(err.Error(), "dry run") || *sent != 0 {
			t.Errorf("%v after %d requests", err, *sent)
		}
	})
	t.Run("the caller has left", func(t *testing.T) {
		t.Parallel()
		c, _ := serve(t, answer(200, jsonType, "{}"))
		ctx, leave := context.WithCancel(t.Context())
		leave()
		if _, err := getPlan(ctx, c, "plan"); !errors.Is(err, context.Canceled) || errors.Is(err, ErrInvalidArgument) {
			t.Error(err)
		}
	})
	t.Run("the rate limit", func(t *testing.T) {
		t.Parallel()
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "300")
			answer(429, jsonType, "{}")(w, r)
		})
		_, err := getPlan(t.Context(), c, "plan")
		var limited *RateLimitError
		if !errors.As(err, &limited) || limited.Wait < 299*time.Second || !strings.Contains(err.Error(), "getTrackingPlan") {
			t.Errorf("%v", err)
		}
	})
	t.Run("no answer, and the context of the caller", func(t *testing.T) { // A likely mistake.
		t.Parallel()
		c, _ := serve(t, func(http.ResponseWriter, *http.Request) {}, WithHTTPClient(&http.Client{Transport: roundTripFunc(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("unplugged")
		})}), WithRetry(RetryPolicy{MaxAttempts: 1}))
		ctx := t.Context()
		_, err := Do(ctx, c, "getTrackingPlan", func(context.Context) api.ApiGetTrackingPlanRequest {
			return c.Raw().TrackingPlansAPI.GetTrackingPlan(ctx, "plan")
		})
		if !errors.Is(err, ErrConnection) {
			t.Error(err)
		}
	})
}

// plans streams the names of tracking plans.
func plans(ctx context.Context, c *Client) ([]string, error) {
	var names []string
	for plan, err := range DoAll(ctx, c, "listTrackingPlans", c.Raw().TrackingPlansAPI.ListTrackingPlans, (*api.ListTrackingPlansV1Output).GetTrackingPlans) {
		if err != nil {
			return names, err
		}
		names = append(names, plan.GetName())
	}
	return names, nil
}

// page answers with the plans of a page. Its number is the cursor, and pages has what is
// in each, and in its pagination.
func page(pages ...[2]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("pagination[cursor]"))
		rows, pagination := pages[min(n, len(pages)-1)][0], pages[min(n, len(pages)-1)][1]
		answer(200, jsonType, `{"data":{`+strings.Trim(rows+","+pagination, ",")+`}}`)(w, r)
	}
}

func TestDoAll(t *testing.T) {
	t.Parallel()
	first, second := `"trackingPlans":[{"name":"a"},{"name":"b"}]`, `"trackingPlans":[{"name":"c"}]`
	next := func(cursor string) string { return `"pagination":{"current":"x","next":` + cursor + `}` }
	const last, none = `"pagination":{"current":"y"}`, `"trackingPlans":[]`
	for name, c := range map[string]struct {
		pages [][2]string
		want  []string
		fails string
		sent  int
	}{
		"two pages":           {[][2]string{{first, next(`"1"`)}, {second, last}}, []string{"a", "b", "c"}, "", 2},
		"next is null":        {[][2]string{{first, next("null")}}, []string{"a", "b"}, "", 1},
		"next is empty":       {[][2]string{{first, next(`""`)}}, []string{"a", "b"}, "", 1},
		"nothing":             {[][2]string{{none, last}}, nil, "", 1},
		"an empty page":       {[][2]string{{none, next(`"1"`)}, {second, last}}, []string{"c"}, "", 2},
		"the cursor repeats":  {[][2]string{{first, next(`"1"`)}, {second, next(`"1"`)}}, []string{"a", "b"}, "the next cursor is the one just used", 2},
		"a cursor comes back": {[][2]string{{first, next(`"1"`)}, {second, next(`"2"`)}, {none, next(`"1"`)}}, []string{"a", "b", "c"}, "a cursor came twice", 3},
		"no pagination":       {[][2]string{{first, ""}}, nil, "the answer has no pagination", 1},
		"no rows":             {[][2]string{{first, next(`"1"`)}, {"", last}}, []string{"a", "b"}, "the answer has no rows", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, sent := serve(t, page(c.pages...))
			got, err := plans(t.Context(), client)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			switch {
			case c.fails == "" && err != nil, c.fails != "" && (!errors.Is(err, ErrBadResponse) || !strings.Contains(err.Error(), c.fails) || !strings.Contains(err.Error(), "listTrackingPlans")):
				t.Errorf("error %v, want %q", err, c.fails)
			case c.fails == "the answer has no rows" && !strings.Contains(err.Error(), "GET /tracking-plans"):
				t.Errorf("the error does not name the request: %v", err)
			case *sent != c.sent:
				t.Errorf("%d requests, want %d", *sent, c.sent)
			}
		})
	}
}

// A list without an end ends with an error.
func TestDoAll_EmptyPages(t *testing.T) {
	t.Parallel()
	n := 0
	c, sent := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		answer(200, jsonType, fmt.Sprintf(`{"data":{"trackingPlans":[],"pagination":{"current":"x","next":"%d"}}}`, n))(w, r)
	})
	if _, err := plans(t.Context(), c); !errors.Is(err, ErrBadResponse) || *sent != MaxEmptyPages {
		t.Errorf("%v after %d requests", err, *sent)
	}
}

// Each page has the size of the client, and 200 rows if Segment refuses more. Lists below
// an object, and with filters, are listed in the same way.
func TestDoAll_PageSizeAndArguments(t *testing.T) {
	t.Parallel()
	var urls []string
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		urls = append(urls, r.URL.String())
		if strings.Contains(r.URL.RawQuery, "count]=1000") {
			answer(422, jsonType, `{"errors":[{"type":"input-validation","message":"too many","field":"pagination.count"}]}`)(w, r)
			return
		}
		_, _ = io.WriteString(header(w), `{"data":{"rules":[{"key":"Signed Up","type":"TRACK","jsonSchema":{},"version":1}],"pagination":{"current":"x"}}}`)
	})
	for rule, err := range DoAll(t.Context(), c, "listRulesFromTrackingPlan", func(ctx context.Context) api.ApiListRulesFromTrackingPlanRequest {
		return c.Raw().TrackingPlansAPI.ListRulesFromTrackingPlan(ctx, "plan")
	}, (*api.ListRulesFromTrackingPlanV1Output).GetRules) {
		if err != nil || rule.Type != "TRACK" {
			t.Errorf("%+v, %v", rule, err)
		}
	}
	base := c.baseURL
	want := []string{base + "/tracking-plans/plan/rules?pagination[count]=1000", base + "/tracking-plans/plan/rules?pagination[count]=200"}
	if diff := cmp.Diff(want, urls); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func header(w http.ResponseWriter) http.ResponseWriter {
	w.Header().Set("Content-Type", jsonType)
	return w
}
