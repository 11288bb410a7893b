package segmentapi

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/public-api-sdk-go/api"
)

// The library decodes answers itself, and must read the same as the official client.
func TestAnswersAreReadAsTheOfficialClientReadsThem(t *testing.T) {
	t.Parallel()
	const rest = `,"pagination":{"current":"MA==","next":"MQ==","totalEntries":7}}}`
	for name, body := range map[string]string{
		"permissions":    `{"data":{"users":[{"id":"u","email":"e","permissions":[{"roleId":"r","roleName":"R","resources":[{"id":"s","type":"SOURCE","labels":[{"key":"k","value":"v"}]}]}]}]` + rest,
		"other case":     `{"DATA":{"Users":[{"ID":"u","eMail":"e"}]` + rest,
		"key twice":      `{"data":{"users":[{"id":"u","id":"w","email":"e"}]` + rest,
		"rows twice":     `{"data":{"users":[{"id":"u","name":"n"},{"id":"v"}],"users":[{"id":"w"}]` + rest,
		"unknown keys":   `{"more":1,"data":{"users":[{"id":"u","age":[7]}]` + rest,
		"null in a row":  `{"data":{"users":[{"id":"u","name":null,"permissions":null}]` + rest,
		"escapes":        `{"data":{"users":[{"id":"\u00e9\ud83d\ude00\ud83d","name":"` + "\xff" + `"}]` + rest,
		"space around":   " \r\n\t" + `{"data":{"users":[]` + rest + "\n",
		"null":           "null",
		"spaces":         "  ",
		"nothing":        "",
		"wrong type":     `{"data":{"users":[{"id":7}]` + rest,
		"cut short":      `{"data":{"users":[{"id":"u"}`,
		"more behind it": `{"data":{"users":[]` + rest + "}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := serve(t, answer(http.StatusOK, "application/vnd.segment.v1+json", body))
			run := func(ctx context.Context) (*api.ListUsers200Response, *http.Response, error) {
				return c.Raw().IAMUsersAPI.ListUsers(ctx).Pagination(api.PaginationInput{Count: 10}).Execute()
			}
			want, resp, wantErr := run(t.Context())
			if err := resp.Body.Close(); err != nil {
				t.Fatal(err)
			}
			got, _, err := execute(t.Context(), c, call{operation: "listUsers"}, decoded(run))
			if wantErr != nil || want == nil {
				if !errors.Is(err, ErrBadResponse) || wantErr != nil && !strings.Contains(err.Error(), wantErr.Error()) {
					t.Errorf("got %v, %v, want %v", got, err, wantErr)
				}
				return
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(api.NullableString{})); diff != "" || err != nil {
				t.Errorf("%v (-official +library):\n%s", err, diff)
			}
		})
	}
}

// An answer is read into memory once: it is what grows with the workspace and is thrown
// away.
func TestAnswersAreNotCopied(t *testing.T) {
	const size = 8 << 20
	body := `{"data":{"users":[{"id":"u","name":"` + strings.Repeat("n", size) + `"}],"pagination":{"current":"MA=="}}}`
	c, err := New(testToken, WithHTTPClient(&http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		return respond(r, http.StatusOK, map[string]string{"Content-Type": jsonType}, body), nil
	})}))
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	page, err := c.Users.List(t.Context(), ListOptions{})
	runtime.ReadMemStats(&after)
	if err != nil || len(page.Items[0].Name) != size {
		t.Fatalf("got %v, %v", page, err)
	}
	// The answer, the name, and what the race detector adds to a buffer that grows.
	if used := after.TotalAlloc - before.TotalAlloc; used > 3*size+size/4 {
		t.Errorf("%d bytes were allocated to read %d", used, size)
	}
}
