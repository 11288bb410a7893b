package pacing

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRefusalLength(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 1, 14, 15, 4, 0, 0, time.UTC)
	const body = `{"errors":[{"type":"RequestError","message":"Too many requests","data":{"remainingPoints":0,"msBeforeNext":57647,"consumedPoints":21}}]}`
	tests := map[string]struct {
		retryAfter, reset, body string
		want                    time.Duration
	}{
		"nothing":                        {"", "", "", time.Minute},
		"retry-after first":              {"7", "Tue, 14 Jan 2025 15:04:05 +0000", body, 7 * time.Second},
		"retry-after 0":                  {"0", "", body, 0},
		"retry-after as a date":          {"Tue, 14 Jan 2025 15:04:09 GMT", "", body, 9 * time.Second},
		"retry-after that is not one":    {"soon", "", body, 57647 * time.Millisecond},
		"retry-after in the past":        {"Tue, 14 Jan 2025 15:03:05 GMT", "", body, 57647 * time.Millisecond},
		"negative retry-after":           {"-1", "", body, 57647 * time.Millisecond},
		"retry-after of a day":           {"86400", "", "", maxBlock},
		"retry-after beyond all numbers": {"99999999999999999999", "", body, maxBlock},
		"retry-after with a fraction":    {"1.647", "", body, 2 * time.Second},
		"below a second":                 {"0.2", "", body, time.Second},
		"no fraction after all":          {" 3.000 ", "", body, 3 * time.Second},
		"a point only":                   {".", "", body, 57647 * time.Millisecond},
		"two points":                     {"1.2.3", "", body, 57647 * time.Millisecond},
		"an exponent":                    {"1e3", "", body, 57647 * time.Millisecond},
		"not a number":                   {"NaN", "", body, 57647 * time.Millisecond},
		"infinite":                       {"Inf", "", body, 57647 * time.Millisecond},
		"negative with a fraction":       {"-1.5", "", body, 57647 * time.Millisecond},
		"a thousand digits":              {strings.Repeat("9", 1000), "", body, maxBlock},
		"body next":                      {"", "Tue, 14 Jan 2025 15:04:05 +0000", body, 57647 * time.Millisecond},
		"huge body":                      {"", "", `{"errors":[{"data":{"msBeforeNext":1e300}}]}`, maxBlock},
		"negative body":                  {"", "", `{"errors":[{"data":{"msBeforeNext":-5}}]}`, time.Minute},
		"body of another kind":           {"", "", `{"errors":[{"data":"x"}]}`, time.Minute},
		"html":                           {"", "", `<html>`, time.Minute},
		"reset header last":              {"", "Tue, 14 Jan 2025 15:04:05 +0000", "", 6 * time.Second},
		"reset in the past":              {"", "Tue, 14 Jan 2025 15:03:05 +0000", "", time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			if tt.retryAfter != "" {
				h.Set("Retry-After", tt.retryAfter)
			}
			if tt.reset != "" {
				h.Set("X-RateLimit-Reset", tt.reset)
			}
			if got := refusalLength(now, h, []byte(tt.body)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestParseInstant_Forms(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 1, 14, 15, 4, 0, 0, time.UTC)
	want := time.Date(2025, 1, 14, 15, 4, 5, 0, time.UTC)
	for _, s := range []string{
		"Tue, 14 Jan 2025 15:04:05 +0000", "Tue, 14 Jan 2025 15:04:05 GMT", "14 Jan 2025 15:04:05 +0000", "Tue, 14 Jan 2025 16:04:05 +0100",
		"Tuesday, 14-Jan-25 15:04:05 GMT", "Tue Jan 14 15:04:05 2025",
		"Tue Jan 14 2025 15:04:05 GMT+0000 (Coordinated Universal Time)", "Tue Jan 14 2025 16:04:05 GMT+0100",
		"2025-01-14T15:04:05Z", "2025-01-14T15:04:05.000Z", "1736867045", "1736867045000", "5",
	} {
		if got, ok := parseInstant(s, now); !ok || !got.Equal(want) {
			t.Errorf("%q: got %s, %t", s, got, ok)
		}
	}
	for _, s := range []string{"", "soon", "-5", "1.5e300", "Tue"} {
		if got, ok := parseInstant(s, now); ok {
			t.Errorf("%q: got %s, want nothing", s, got)
		}
	}
}

func TestRequestsRemain(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		header, body string
		want         bool
	}{
		"nothing":                            {"", "", false},
		"header":                             {"3", "", true},
		"header 0":                           {"0", "", false},
		"body":                               {"", `{"errors":[{"data":{"remainingPoints":3}}]}`, true},
		"body 0":                             {"", `{"errors":[{"data":{"remainingPoints":0}}]}`, false},
		"an endpoint's own limit is used up": {"540", `{"errors":[{"data":{"remainingPoints":0,"msBeforeNext":57647}}]}`, false},
		"a body of another kind":             {"540", `{"errors":[{"data":"x"}]}`, true},
		"not a number":                       {"many", "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			if tt.header != "" {
				h.Set("X-RateLimit-Remaining", tt.header)
			}
			if got := requestsRemain(h, []byte(tt.body)); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
