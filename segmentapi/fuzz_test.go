package segmentapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"
)

// fuzzed makes a client that sends each request once, to do.
func fuzzed(t *testing.T, do roundTripFunc, opts ...Option) *Client {
	t.Helper()
	c, err := New(testToken, append([]Option{
		WithBaseURL("http://localhost"),
		WithHTTPClient(&http.Client{Transport: do}),
		WithRetry(RetryPolicy{MaxAttempts: 1}),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// respond makes an answer as it comes off the wire, so that any status and any
// header can be in it.
func respond(r *http.Request, status int, header map[string]string, body string) *http.Response {
	h := http.Header{}
	for name, value := range header {
		h.Set(name, value)
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), StatusCode: status,
		Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
}

// longestText bounds the text of an error, in bytes: gRPC carries no status of many
// kilobytes.
const longestText = 2048

// readable checks that the text of an error can be logged, even if a server wrote
// parts of it: it is short, on one line, and without the token.
func readable(t *testing.T, err error) {
	t.Helper()
	for link := err; link != nil; link = errors.Unwrap(link) {
		text := fmt.Sprintf("%v %+v", link, link)
		if strings.Contains(text, testToken) {
			t.Errorf("the token is in %q", text)
		}
	}
	switch text := err.Error(); {
	case len(text) > longestText:
		t.Errorf("an error of %d bytes: %.100s", len(text), text)
	case !utf8.ValidString(text):
		t.Errorf("no valid text: %q", text)
	case strings.ContainsFunc(text, unicode.IsControl):
		t.Errorf("not one line of text: %q", text)
	}
}

// A jsonObject is read without the types that are judged by it.
type jsonObject = map[string]any

// The status of an answer alone decides the kind of error, whatever the body is.
func FuzzErrorBody(f *testing.F) {
	add := func(status int, contentType, location, body string) {
		f.Add(uint16(status-300), contentType, location, body)
	}
	envelope := `{"errors":[{"type":"some-type","message":"Some message","field":"id"}]}`
	for _, status := range []int{300, 302, 304, 308, 399, 400, 401, 403, 404, 409, 413, 422, 429, 451, 500, 502, 503, 599, 999} {
		add(status, jsonType, "https://example.com/"+testToken, envelope)
	}
	add(401, jsonType, "", `{"errors":[{"type":"`+testToken+`","message":"is `+testToken+`","field":"`+testToken+`"}]}`)
	add(404, jsonType, "", `{"errors":[{"type":"a","message":"`+strings.Repeat("long ", 2000)+`"}]}`)
	add(422, jsonType, "", `{"errors":[`+strings.Repeat(`{"type":"a"},`, 5000)+`{"type":"a"}]}`)
	add(422, jsonType, "", `{"errors":[{"type":"a","message":`+strings.Repeat("1", 5000)+`}]}`)
	add(404, "text/"+testToken, "", envelope+"<html>")
	add(302, jsonType, "%zz"+testToken, "")
	add(301, jsonType, "http://[::1", "")
	for _, body := range []string{
		"", "null", "{", "[]", "{}", `{"errors":null}`, `{"errors":"unauthorized"}`, `{"errors":[]}`, `{"errors":[null]}`, `{"errors":[{}]}`,
		`{"errors":[{"message":"not found"}]}`, `{"errors":[{"type":"a","message":"one\ntwo\u001b[31m"}]}`, `{"errors":[{"type":"rate limited","message":"unauthorized"}]}`,
		`{"ERRORS":[{"type":"a"}]}`, `{"errors":[{"type":"a"}],"errors":[{"message":"b"}]}`, "<html>404</html>", "\xff\xfe",
	} {
		add(404, jsonType, "", body)
	}
	byStatus := map[int]error{
		400: ErrBadRequest, 401: ErrUnauthorized, 403: ErrForbidden, 404: ErrNotFound, 409: ErrConflict, 422: ErrInvalid, 429: ErrRateLimited,
	}
	f.Fuzz(func(t *testing.T, above uint16, contentType, location, body string) {
		status := 300 + int(above)%700
		c := fuzzed(t, func(r *http.Request) (*http.Response, error) {
			return respond(r, status, map[string]string{"Content-Type": contentType, "Location": location}, body), nil
		})
		_, err := c.Users.List(t.Context(), ListOptions{})
		var e *Error
		if !errors.As(err, &e) || e.StatusCode != status || e.Attempts != 1 {
			t.Fatalf("status %d: %v, %+v", status, err, e)
		}
		want := byStatus[status]
		switch {
		case status < 400:
			want = ErrBadResponse
		case status >= 500:
			want = ErrServer
		}
		for _, sentinel := range []error{
			ErrBadRequest, ErrUnauthorized, ErrForbidden, ErrNotFound, ErrConflict, ErrInvalid, ErrRateLimited, ErrServer, ErrInvalidArgument,
			ErrBadResponse, ErrConnection, ErrAmbiguous, ErrLastOwner, ErrLastPermission, ErrNotApplied,
		} {
			if errors.Is(err, sentinel) != errors.Is(want, sentinel) {
				t.Errorf("status %d matches %v: %v", status, sentinel, err)
			}
		}
		readable(t, err)
		details := envelopeOf(body)
		if status < 400 {
			details = nil
		}
		if len(e.Details) != len(details) {
			t.Fatalf("%d details, want %d: %+v", len(e.Details), len(details), e.Details)
		}
		for i, d := range e.Details {
			if d.Type != strings.ReplaceAll(details[i], testToken, "[token]") || strings.Contains(d.Message+"\n"+d.Field, testToken) {
				t.Errorf("detail %d is %+v, want the type %q", i, d, details[i])
			}
			if strings.ContainsFunc(d.String(), unicode.IsControl) {
				t.Errorf("not one line: %q", d)
			}
		}
	})
}

// envelopeOf returns the types in Segment's error envelope, in which each entry
// must have one, or nil for any other body.
func envelopeOf(body string) []string {
	var answer any
	if json.Unmarshal([]byte(body), &answer) != nil {
		return nil
	}
	object, _ := answer.(jsonObject)
	entries, _ := object["errors"].([]any)
	var types []string
	for _, entry := range entries {
		fields, _ := entry.(jsonObject)
		kind, _ := fields["type"].(string)
		if kind == "" {
			return nil
		}
		types = append(types, kind)
	}
	return types
}

// Nothing that an answer says of the limit stops a client for longer than the
// documented bound, lets it go on at once after a refusal, or makes it deaf to
// what the next answer says.
func FuzzLimitHeaders(f *testing.F) {
	const (
		shortest = time.Second
		longest  = 5 * time.Minute
	)
	soon := "Sat, 01 Jan 2000 00:01:00 +0000" // The clock of synctest begins at midnight.
	body := `{"errors":[{"type":"RequestError","message":"Too many requests","data":{"remainingPoints":0,"msBeforeNext":57647,"consumedPoints":21}}]}`
	for _, retryAfter := range []string{
		"", "0", "-1", "30", "86400", "9223372036854775807", "99999999999999999999", "1e9", "Sat, 01 Jan 2000 00:00:30 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "NaN",
	} {
		f.Add(retryAfter, soon, "0", "60", body, true, uint16(0))
	}
	for _, reset := range []string{
		"", "0", "1", "999999", "1000000", "946684860", "946684860000", "9223372036854775807", "-9223372036854775808", "Sat, 01 Jan 0000 00:00:00 +0000",
		"Fri, 31 Dec 9999 23:59:59 +0000", "2000-01-01T00:04:59.999999999Z", "Sat Jan 01 2000 00:01:00 GMT+0000 (Coordinated Universal Time)",
	} {
		f.Add("", reset, "0", "60", "", true, uint16(100))
		f.Add("", reset, "3", "57", "", false, uint16(100))
	}
	for _, number := range []string{"NaN", "-NaN", "Inf", "-Inf", "1e400", "-1e400", "1e308", "-1e308", "0x1p-1074", "1_0", "-1", "0.5", "", "many"} {
		f.Add("", soon, number, "60", "", false, uint16(1000))
		f.Add("", soon, "10", number, "", false, uint16(1000))
		f.Add("", soon, number, number, "", false, uint16(1000))
	}
	for _, ms := range []string{"-1", "0", "0.001", "1e300", "1e400", "null", `"soon"`, "9223372036854775808"} {
		f.Add("", "", "", "", `{"errors":[{"data":{"msBeforeNext":`+ms+`}}]}`, true, uint16(500))
	}
	f.Fuzz(func(t *testing.T, retryAfter, reset, remaining, consumed, body string, refused bool, pause uint16) {
		const page = `{"data":{"users":[],"pagination":{"current":"MA=="}}}`
		limit := func(reset, remaining, consumed string) map[string]string {
			return map[string]string{
				"Content-Type": jsonType, "Retry-After": retryAfter,
				"X-RateLimit-Reset": reset, "X-RateLimit-Remaining": remaining, "X-RateLimit-Consumed": consumed,
			}
		}
		// asks sends one request without waiting and returns how long the client
		// would wait, 0 if the answer came.
		asks := func(t *testing.T, c *Client) time.Duration {
			t.Helper()
			_, err := c.Users.List(t.Context(), ListOptions{})
			var limited *RateLimitError
			if err == nil {
				return 0
			} else if !errors.As(err, &limited) {
				t.Fatalf("got %v", err)
			}
			if limited.Wait < 0 || limited.Wait > longest || !limited.Reset.Equal(time.Now().Add(limited.Wait)) {
				t.Fatalf("waits %s until %s, %v from now", limited.Wait, limited.Reset, time.Until(limited.Reset))
			}
			return limited.Wait
		}
		synctest.Test(t, func(t *testing.T) {
			sent := 0
			c := fuzzed(t, func(r *http.Request) (*http.Response, error) {
				sent++
				switch {
				case sent == 1 && refused:
					return respond(r, http.StatusTooManyRequests, limit(reset, remaining, consumed), body), nil
				case sent == 1:
					return respond(r, http.StatusOK, limit(reset, remaining, consumed), page), nil
				case sent == 2: // The same headers, with the other status.
					status, text := http.StatusTooManyRequests, body
					if refused {
						status, text = http.StatusOK, page
					}
					return respond(r, status, limit(retryAfter, consumed, remaining), text), nil
				}
				return respond(r, http.StatusOK, map[string]string{"Content-Type": jsonType}, page), nil
			})
			for i := range 2 {
				if wait := asks(t, c); i == 0 && refused && wait < shortest {
					t.Fatalf("waits %s after a refusal", wait)
				}
				<-time.After(time.Duration(pause) * time.Millisecond)
			}
			<-time.After(longest)
			before := sent
			if wait := asks(t, c); sent == before {
				t.Fatalf("still closed for %s after the longest block", wait)
			}
			<-time.After(longest)
			if wait := asks(t, c); sent < 3 || wait != 0 {
				t.Fatalf("closed for %s with %d sent", wait, sent)
			}
		})
		// If an answer reports plainly that nothing is left, the client waits, whatever the
		// other headers and earlier answers were.
		synctest.Test(t, func(t *testing.T) {
			sent := 0
			ends := time.Now().Add(time.Minute).UTC().Format(time.RFC1123Z)
			answers := []map[string]string{limit(ends, remaining, consumed), limit(ends, "0", consumed)}
			c := fuzzed(t, func(r *http.Request) (*http.Response, error) {
				sent++
				return respond(r, http.StatusOK, answers[min(sent, 2)-1], page), nil
			})
			for range 2 {
				asks(t, c)
			}
			if wait := asks(t, c); wait < time.Minute || wait > time.Minute+time.Second {
				t.Fatalf("waits %s with nothing left for a minute", wait)
			}
		})
	})
}

// A page has every row that its answer has, and each of them has an id.
func FuzzListAnswer(f *testing.F) {
	page := func(rows, pagination string) string {
		return `{"data":{"users":` + rows + `,"pagination":` + pagination + `}}`
	}
	for _, body := range []string{
		page(`[{"id":"u1","name":"","email":"a@example.com","permissions":[]},{"id":"u2"}]`, `{"current":"MA==","next":"Mg==","previous":null,"totalEntries":20}`),
		page(`[]`, `{"current":""}`), page(`[]`, `{}`), page(`[]`, `null`), page(`null`, `{}`), page(`[null]`, `{}`), page(`[{"id":"u1"},{}]`, `{}`),
		page(`[{"id":null}]`, `{}`), page(`[{"id":7}]`, `{}`), page(`[{"ID":"u1"}]`, `{}`), page(`[{"id":"u1","id":""}]`, `{}`),
		page(`[]`, `{"next":7}`), page(`[]`, `{"next":""}`), page(`[]`, `{"next":null}`), page(`[]`, `{"next":"`+testToken+`"}`),
		page(`[]`, `{"totalEntries":1e30}`), page(`[]`, `{"totalEntries":-5}`), page(`[]`, `{"totalEntries":0.5}`), page(`[]`, `{"totalEntries":1e400}`),
		page(`[]`, `{"totalEntries":null}`), page(`[]`, `{"":1e400}`), page(`[]`, `{"current":"MA=="}`) + `{"data":{}}`, page(`[]`, `{"current":"MA=="}`) + "<html>",
		page(`[{"id":"u1"}],"users":[]`, `{"current":"MA=="}`), page(`[{"id":"u1","email":`+strings.Repeat("1", 5000)+`}]`, `{}`),
		page(`[{"id":"u1","permissions":[{"roleId":"r","resources":[{"id":"x","type":"SOURCE","labels":[{"key":"a"}]}]}]}]`, `{}`),
		"", "null", "[]", "{", `{"data":null}`, `{"errors":[{"type":"x"}]}`, `{"data":"` + testToken + `"}`, "\xff", testToken,
	} {
		f.Add(jsonType, body)
	}
	f.Add("", page(`[]`, `{}`))
	f.Add("text/"+testToken, page(`[]`, `{}`))
	f.Add("text/"+strings.Repeat("long", 2000), page(`[]`, `{}`))
	f.Add("application/xml", `<a><Data><Users><Id>u1</Id></Users><Pagination><Current>MA==</Current></Pagination></Data></a>`)
	f.Fuzz(func(t *testing.T, contentType, body string) {
		c := fuzzed(t, func(r *http.Request) (*http.Response, error) {
			return respond(r, http.StatusOK, map[string]string{"Content-Type": contentType}, body), nil
		})
		got, err := c.Users.List(t.Context(), ListOptions{})
		if err != nil {
			if got != nil || !errors.Is(err, ErrBadResponse) {
				t.Errorf("%+v with %v", got, err)
			}
			readable(t, err)
			return
		}
		if got.Total < -1 {
			t.Errorf("%d rows in all", got.Total)
		}
		for i, u := range got.Items {
			if u.ID == "" {
				t.Errorf("row %d has no id: %+v", i+1, u)
			}
		}
		var answer any
		if !json.Valid([]byte(body)) {
			t.Fatalf("a page out of what is no JSON: %+v", got)
		}
		if err = json.Unmarshal([]byte(body), &answer); err != nil {
			return // A number that is too large for a float64, in an unused place.
		}
		if !distinct(json.NewDecoder(strings.NewReader(body))) {
			return // The meaning of a repeated name is not defined.
		}
		data := field(answer, "data")
		rows, ok := field(data, "users").([]any)
		pagination, paged := field(data, "pagination").(jsonObject)
		if !ok || !paged || len(rows) != len(got.Items) {
			t.Fatalf("%d rows of %v", len(got.Items), data)
		}
		for i, row := range rows {
			if id := field(row, "id"); id != got.Items[i].ID {
				t.Errorf("row %d is %v, want %v", i+1, got.Items[i].ID, id)
			}
		}
		next, _ := field(pagination, "next").(string)
		if next != got.Next {
			t.Errorf("next is %q, want %q", got.Next, next)
		}
		// The official client counts in 24 bits.
		if total, said := field(pagination, "totalEntries").(float64); said && total >= 0 && total == float64(int(total)) && total < 1<<24 && got.Total != int(total) {
			t.Errorf("%d rows in all, want %v", got.Total, total)
		}
	})
}

// field reads a field as encoding/json does, in any case.
func field(object any, name string) any {
	fields, _ := object.(jsonObject)
	for other, value := range fields {
		if strings.EqualFold(other, name) {
			return value
		}
	}
	return nil
}

// distinct reports that no object in a value has a name twice, in whatever
// case.
func distinct(d *json.Decoder) bool {
	type level struct {
		object bool
		names  map[string]bool
		name   bool // The next token is a name.
	}
	var stack []level
	for {
		token, err := d.Token()
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		if text, ok := token.(string); ok && len(stack) > 0 && stack[len(stack)-1].name {
			top := &stack[len(stack)-1]
			folded := strings.ToLower(strings.ToUpper(text))
			if top.names[folded] {
				return false
			}
			top.names[folded], top.name = true, false
			continue
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			open := token == json.Delim('{')
			stack = append(stack, level{object: open, names: map[string]bool{}, name: open})
			continue
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
		if len(stack) > 0 {
			stack[len(stack)-1].name = stack[len(stack)-1].object
		}
	}
}

// A list ends, whatever cursors a server thinks of: with the empty one, or with
// an error as soon as one comes twice.
func FuzzListCursors(f *testing.F) {
	for _, script := range []string{
		"", "a", "a|", "a|b|c|", "a|b|a", "a|a", "a|b|c|b|", testToken + "|b|" + testToken, " |+|%|&|#|?|=|\x00|\n|\u2028|é|", "a|A|", "null|0|false|",
		strings.Repeat("long", 3000) + "|b|" + strings.Repeat("long", 3000),
	} {
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script string) {
		cursors := strings.Split(script, "|")
		if !utf8.ValidString(script) || len(cursors) > 100 {
			return // No JSON holds such text, and no list of the test so many pages.
		}
		sent, asked := 0, []string(nil)
		c := fuzzed(t, func(r *http.Request) (*http.Response, error) {
			if sent > len(cursors) {
				t.Fatal("it goes on and on")
			}
			asked = append(asked, r.URL.Query().Get("pagination[cursor]"))
			next := cursors[min(sent, len(cursors)-1)]
			sent++
			body, err := json.Marshal(jsonObject{"data": jsonObject{
				"users": []any{jsonObject{"id": fmt.Sprint(sent)}}, "pagination": jsonObject{"current": "x", "next": next},
			}})
			return respond(r, http.StatusOK, map[string]string{"Content-Type": jsonType}, string(body)), err
		})
		var rows []string
		var failed error
		for u, err := range c.Users.All(t.Context()) {
			if failed != nil {
				t.Fatal("it goes on after an error")
			}
			if failed = err; err == nil {
				rows = append(rows, u.ID)
			}
		}
		end := slices.Index(cursors, "")
		if end < 0 {
			end = len(cursors)
		}
		follow := cursors[:end]
		twice := end == len(cursors) // Then the last one comes for ever.
		for i, cursor := range follow {
			if slices.Index(follow, cursor) < i {
				twice = true
			}
		}
		if (failed != nil) != twice {
			t.Fatalf("%q: %v", cursors, failed)
		}
		if failed != nil {
			if !errors.Is(failed, ErrBadResponse) {
				t.Errorf("got %v", failed)
			}
			readable(t, failed)
		} else if len(rows) != end+1 {
			t.Errorf("%d rows of %d pages", len(rows), end+1)
		}
		for i, id := range rows {
			if id != fmt.Sprint(i+1) {
				t.Errorf("row %d is %s", i+1, id)
			}
		}
		for i, cursor := range asked {
			if i > 0 && cursor != cursors[i-1] || i == 0 && cursor != "" {
				t.Errorf("request %d asks for %q", i+1, cursor)
			}
		}
	})
}

// The token goes nowhere but over https, or to this machine, and what a URL may
// hold of secrets is in no error.
func FuzzBaseURL(f *testing.F) {
	const secret = "hunter2"
	for _, raw := range []string{
		"https://api.segmentapis.com", "https://example.com/", "https://example.com/segment//", "HTTPS://EXAMPLE.COM", "https://example.com:8443/a%2Fb%20c",
		"http://localhost", "http://LOCALHOST:8080", "http://127.0.0.2:8080", "http://[::1]:8080", "http://[::1%25lo]", "http://[::ffff:127.0.0.1]",
		"http://localho\u017Ft", "http://localhost.", "http://localhost.example.com", "http://127.0.0.1.example.com", "http://127.1", "http://0.0.0.0", "http://2130706433",
		"http://0x7f.1", "http://[::]", "http://api.segmentapis.com/" + secret, "http:localhost", "http:///localhost", "http://:80", "//localhost", "localhost:8080",
		"ftp://localhost/" + secret, secret + "://localhost", "https://user:" + secret + "@example.com", "https://" + secret + "@example.com", "https://user:" + secret + "%40example.com",
		"http://user:" + secret + "@example.com", "user:" + secret + "@example.com", "https:user:" + secret + "@example.com", "https://example.com?token=" + secret,
		"https://example.com#" + secret, "https://example.com/?", "https://example.com/\n" + secret, "https://[::1", "https://example.com:port", "https://exämple.com",
		"http://localhost\\@example.com", "http://localhost%00.example.com", "http://localhost@example.com", "https://e%78ample.com", "http://::1:80", "https://a:b:80", "", " https://example.com",
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		var to *http.Request
		c, err := New(testToken, WithRetry(RetryPolicy{MaxAttempts: 1}), WithBaseURL(raw), WithHTTPClient(&http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			to = r
			return respond(r, http.StatusNotFound, nil, ""), nil
		})}))
		if err != nil {
			if !errors.Is(err, ErrInvalidArgument) || strings.Contains(err.Error(), secret) {
				t.Errorf("got %v", err)
			}
			readable(t, err)
			return
		}
		if _, err = c.Users.List(t.Context(), ListOptions{}); !errors.Is(err, ErrNotFound) || to == nil {
			t.Fatalf("%q was taken and cannot be asked: %v", raw, err)
		}
		host := to.URL.Hostname()
		address, _, _ := strings.Cut(host, "%")
		here := strings.ToLower(host) == "localhost" || net.ParseIP(address).IsLoopback()
		if host == "" || to.URL.Scheme != "https" && (to.URL.Scheme != "http" || !here) {
			t.Errorf("%q sends the token to %s", raw, to.URL)
		}
		dialed := to.URL.Host
		if to.URL.Port() == "" {
			dialed = strings.TrimSuffix(dialed, ":") + ":443"
		}
		if _, _, err = net.SplitHostPort(dialed); err != nil {
			t.Errorf("%q was taken and cannot be connected to: %v", raw, err)
		}
		if to.URL.User != nil || to.Header.Get("Authorization") != "Bearer "+testToken {
			t.Errorf("%q sends other credentials", raw)
		}
		if !strings.HasSuffix(to.URL.Path, "/users") || strings.HasSuffix(to.URL.Path, "//users") || to.URL.Fragment != "" || to.URL.Query().Get("pagination[count]") != "1000" {
			t.Errorf("%q asks %s", raw, to.URL)
		}
	})
}
