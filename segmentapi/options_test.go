package segmentapi

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	tests := map[string]struct {
		token string
		opt   Option
	}{
		"no token":                {"", nil},
		"token with a line break": {secret + "\n", nil},
		"token with a space":      {secret + " x", nil},
		"unknown region":          {secret, WithRegion("mars")},
		"region without a name":   {secret, WithRegion("")},
		"relative URL":            {secret, WithBaseURL("api.segmentapis.com")},
		"no URL":                  {secret, WithBaseURL("")},
		"URL without host":        {secret, WithBaseURL("https://")},
		"URL with a port only":    {secret, WithBaseURL("https://:443")},
		"broken URL":              {secret, WithBaseURL("https://[::1")},
		"http to the world":       {secret, WithBaseURL("http://api.segmentapis.com")},
		"http to a lookalike":     {secret, WithBaseURL("http://localhost.example.com")},
		"ftp":                     {secret, WithBaseURL("ftp://localhost")},
		"credentials in the URL":  {secret, WithBaseURL("https://user:" + secret + "@example.com")},
		"query":                   {secret, WithBaseURL("https://example.com?x=1")},
		"fragment":                {secret, WithBaseURL("https://example.com#x")},
		"nil client":              {secret, WithHTTPClient(nil)},
		"page size 0":             {secret, WithPageSize(0)},
		"page size 1001":          {secret, WithPageSize(1001)},
		"answers of no bytes":     {secret, WithMaxBody(0)},
		"empty user agent":        {secret, WithUserAgent("")},
		"user agent of two lines": {secret, WithUserAgent("a\r\nX-Other: b")},
		"nil logger":              {secret, WithLogger(nil)},
		"no attempts":             {secret, WithRetry(RetryPolicy{})},
		"negative wait":           {secret, WithRetry(RetryPolicy{MaxAttempts: 1, MaxWait: -1})},
		"no writes":               {secret, WithLimits(Limits{})},
		"reserve of all":          {secret, WithLimits(Limits{WritesPerMinute: 60, Reserve: 1})},
		"negative cache":          {secret, WithRoleCache(-1, time.Minute)},
		"cache without lifetime":  {secret, WithRoleCache(1, 0)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var opts []Option
			if tt.opt != nil {
				opts = append(opts, tt.opt)
			}
			_, err := New(tt.token, opts...)
			if !errors.Is(err, ErrInvalidArgument) {
				t.Fatalf("got %v, want an invalid argument", err)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("error repeats the secret: %v", err)
			}
		})
	}
}

func TestBaseURLs(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		opt  Option
		want string
	}{
		"us":             {WithRegion(RegionUS), "https://api.segmentapis.com/users"},
		"eu":             {WithRegion(RegionEU), "https://eu1.api.segmentapis.com/users"},
		"US":             {WithRegion("US"), "https://api.segmentapis.com/users"},
		"EU":             {WithRegion("EU"), "https://eu1.api.segmentapis.com/users"},
		"eu1":            {WithRegion("eu1"), "https://eu1.api.segmentapis.com/users"},
		"trailing slash": {WithBaseURL("https://example.com/"), "https://example.com/users"},
		"prefix":         {WithBaseURL("https://example.com/segment//"), "https://example.com/segment/users"},
		"localhost":      {WithBaseURL("http://LOCALHOST:8080"), "http://localhost:8080/users"},
		"loopback":       {WithBaseURL("http://127.0.0.2:8080"), "http://127.0.0.2:8080/users"},
		"loopback 6":     {WithBaseURL("http://[::1]:8080"), "http://[::1]:8080/users"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got string
			c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				got = r.URL.Scheme + "://" + r.URL.Host + r.URL.Path
				answer(404, jsonType, "")(w, r)
			}, tt.opt)
			_, err := c.Users.List(t.Context(), ListOptions{})
			if !errors.Is(err, ErrNotFound) || got != tt.want {
				t.Errorf("asked %s (%v), want %s", got, err, tt.want)
			}
		})
	}
}

// The client of WithRetry differs only in the policy.
func TestWithRetryKeepsTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got []string
		first, sent := serve(t, func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.URL.String()+" "+r.Header.Get("Authorization")+" "+r.Header.Get("User-Agent"))
			answer(503, jsonType, "")(w, r)
		}, WithBaseURL("https://example.com/prefix/"), WithUserAgent("tests/1"), WithPageSize(7), WithRetry(RetryPolicy{MaxAttempts: 3}))
		second, err := first.WithRetry(RetryPolicy{MaxAttempts: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			c        *Client
			attempts int
		}{{second, 1}, {first, 3}} {
			*sent = 0
			if _, err := tt.c.Users.List(t.Context(), ListOptions{}); !errors.Is(err, ErrServer) || *sent != tt.attempts {
				t.Errorf("got %v after %d requests, want %d", err, *sent, tt.attempts)
			}
		}
		for _, g := range got {
			if want := "https://example.com/prefix/users?pagination[count]=7 Bearer " + testToken + " tests/1"; g != want {
				t.Errorf("sent %s, want %s", g, want)
			}
		}
	})
}

func TestArgumentsAreCheckedBeforeAnyRequest(t *testing.T) {
	t.Parallel()
	c, sent := serve(t, answer(200, jsonType, "{}"))
	ctx := t.Context()
	for _, id := range []string{"", ".", "..", strings.Repeat("x", 256)} {
		_, userErr := c.Users.Get(ctx, id)
		_, groupErr := c.Groups.Get(ctx, id)
		_, roleErr := c.Roles.Get(ctx, id)
		_, sourceErr := c.Sources.Get(ctx, id)
		_, warehouseErr := c.Warehouses.Get(ctx, id)
		_, functionErr := c.Functions.Get(ctx, id)
		_, spaceErr := c.Spaces.Get(ctx, id)
		_, membersErr := c.Groups.ListMembers(ctx, id, ListOptions{})
		_, invitesErr := c.Groups.ListInvites(ctx, id, ListOptions{})
		for what, err := range map[string]error{
			"user": userErr, "group": groupErr, "role": roleErr, "members": membersErr, "invites": invitesErr,
			"source": sourceErr, "warehouse": warehouseErr, "function": functionErr, "space": spaceErr,
		} {
			if !errors.Is(err, ErrInvalidArgument) {
				t.Errorf("%s %q: %v", what, id, err)
			}
		}
	}
	for _, count := range []int{-1, 1001} {
		if _, err := c.Users.List(ctx, ListOptions{Count: count}); !errors.Is(err, ErrInvalidArgument) {
			t.Errorf("count %d: %v", count, err)
		}
	}
	if _, err := c.Functions.List(ctx, "", ListOptions{}); !errors.Is(err, ErrInvalidArgument) {
		t.Errorf("no function type: %v", err)
	}
	for f, err := range c.Functions.All(ctx, "") {
		if !errors.Is(err, ErrInvalidArgument) {
			t.Errorf("no function type: %v, %v", f, err)
		}
	}
	for name, opts := range map[string]AuditOptions{
		"start 92 days ago":  {Start: time.Now().AddDate(0, 0, -92)},
		"end 92 days ago":    {End: time.Now().AddDate(0, 0, -92)},
		"start in two days":  {Start: time.Now().AddDate(0, 0, 2)},
		"end before start":   {Start: time.Now(), End: time.Now().Add(-time.Hour)},
		"end equal to start": {Start: time.Unix(time.Now().Unix(), 0), End: time.Unix(time.Now().Unix(), 0).UTC()},
		"count":              {ListOptions: ListOptions{Count: 1001}},
	} {
		if _, err := c.Audit.List(ctx, opts); !errors.Is(err, ErrInvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
		for e, err := range c.Audit.All(ctx, opts) {
			if !errors.Is(err, ErrInvalidArgument) {
				t.Errorf("%s: %v, %v", name, e, err)
			}
		}
	}
	for _, p := range []RetryPolicy{{}, {MaxAttempts: 1, MaxWait: -1}} {
		if _, err := c.WithRetry(p); !errors.Is(err, ErrInvalidArgument) {
			t.Errorf("retry policy %+v: %v", p, err)
		}
	}
	if *sent != 0 {
		t.Errorf("sent %d requests, want none", *sent)
	}
}
