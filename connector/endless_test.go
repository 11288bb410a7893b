package connector

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// newEndlessFixture returns a connector to a workspace in which one list has no end: each
// page has a new cursor and no rows. It returns the count of these pages as well.
func newEndlessFixture(t *testing.T, path, key string) (*fixture, *atomic.Int64) {
	t.Helper()
	s, asked := sim.New(full()), new(atomic.Int64)
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		validates := r.URL.Query().Get("pagination[count]") == "1"
		if r.URL.Path != path || validates {
			s.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		n := asked.Add(1)
		if _, err := fmt.Fprintf(w, `{"data":{%q:[],"pagination":{"current":"%d","next":"%d"}}}`, key, n, n+1); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(listener.Close)
	c, err := New(t.Context(), Options{Token: s.Token(), BaseURL: listener.URL})
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{Connector: c, sim: s, session: statetest.New()}, asked
}

// A list of empty pages with ever new cursors ends in an error, after as many pages as
// are allowed.
func TestList_EmptyPagesWithoutEnd(t *testing.T) {
	t.Parallel()
	list := func(typeID string) func(context.Context, *fixture) error {
		return func(ctx context.Context, f *fixture) error {
			_, err := f.listType(ctx, typeID)
			return err
		}
	}
	group := func(ctx context.Context, f *fixture) error {
		_, err := f.grants(ctx, stub(typeGroup, "g1"))
		return err
	}
	for path, c := range map[string]struct {
		key  string
		call func(context.Context, *fixture) error
	}{
		"/users":             {"users", list(typeUser)},
		"/invites":           {"invites", list(typeInvite)},
		"/groups":            {"userGroups", list(typeGroup)},
		"/roles":             {"roles", list(typeRole)},
		"/sources":           {"sources", list(typeSource)},
		"/warehouses":        {"warehouses", list(typeWarehouse)},
		"/functions":         {"functions", list(typeFunction)},
		"/spaces":            {"spaces", list(typeSpace)},
		"/groups/g1/users":   {"users", group},
		"/groups/g1/invites": {"emails", group},
		// A targeted sync reads the groups of a user.
		"/users/u1/groups": {"groups", func(ctx context.Context, f *fixture) error {
			_, err := f.entitlements(ctx, stub(typeUser, "u1"))
			return err
		}},
	} {
		t.Run(strings.ReplaceAll(path, "/", " "), func(t *testing.T) {
			t.Parallel()
			f, asked := newEndlessFixture(t, path, c.key)
			err := c.call(t.Context(), f)
			if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "the last 100 of which are empty") {
				t.Errorf("%v", err)
			}
			if asked.Load() != segmentapi.MaxEmptyPages {
				t.Errorf("%d pages were asked for", asked.Load())
			}
		})
	}
}

// The count of pages is in the page token, so a resumed sync does not begin anew. Rows
// reset the count of empty pages, and a new list resets both.
func TestPageToken_CountsPages(t *testing.T) {
	t.Parallel()
	step := func(t *testing.T, token pageToken, rows int) (pageToken, error) {
		t.Helper()
		next, err := token.follow("listing", fmt.Sprint("cursor ", token.Pages), rows)
		if err != nil {
			return token, err
		}
		return must(parsePageToken(next.String()))(t), nil
	}
	var token pageToken
	var err error
	for i := range 10 * segmentapi.MaxEmptyPages { // A page with rows in every hundred.
		rows := 0
		if i%segmentapi.MaxEmptyPages == segmentapi.MaxEmptyPages-1 {
			rows = 1
		}
		if token, err = step(t, token, rows); err != nil {
			t.Fatalf("page %d: %v", i, err)
		}
	}
	for i := range segmentapi.MaxEmptyPages {
		if token, err = step(t, token, 0); (err != nil) != (i == segmentapi.MaxEmptyPages-1) {
			t.Fatalf("empty page %d: %v", i, err)
		}
	}
	token = pageToken{Pages: segmentapi.MaxPages - 2}
	if token, err = step(t, token, 1000); err != nil {
		t.Fatal(err)
	}
	if _, err = step(t, token, 1000); status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "after 1000000 pages") {
		t.Errorf("page %d: %v", segmentapi.MaxPages, err)
	}
}
