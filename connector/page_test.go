package connector

import (
	"context"
	"net/http"
	"strings"
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// Cursors that repeat end in an error, however long the cycle and the way to it.
// Different cursors do not.
func TestPageToken_CyclicCursors(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pages := rapid.SliceOfNDistinct(rapid.StringN(1, 8, -1), 1, 60, rapid.ID[string]).Draw(t, "cursors")
		back := rapid.IntRange(0, len(pages)-1).Draw(t, "back")
		var token pageToken
		var err error
		for i, cursor := range pages {
			if token, err = token.follow("listing", cursor, 1); err != nil {
				t.Fatalf("page %d of different ones: %v", i, err)
			}
			if token, err = parsePageToken(token.String()); err != nil || token.Cursor != cursor {
				t.Fatalf("the token does not survive: %+v, %v", token, err)
			}
		}
		for i := range 10 * len(pages) {
			cycle := pages[back:]
			if token, err = token.follow("listing", cycle[i%len(cycle)], 1); err != nil {
				return
			}
		}
		t.Fatalf("%d pages back from %d were never noticed", back, len(pages))
	})
}

// A list whose cursors repeat ends in an error. Otherwise the sync would never
// end.
func TestList_CyclicCursors(t *testing.T) {
	t.Parallel()
	f := newFixture(t, full())
	listAllButRoles(t, f)
	page := func(cursor, next string) sim.Fault {
		return sim.Fault{Operation: "listRoles", Query: cursor, Kind: sim.FaultStatus, Status: http.StatusOK,
			Body: `{"data":{"roles":[],"pagination":{"current":"` + cursor + `","next":"` + next + `"}}}`}
	}
	// Without this fault a failing test would not end.
	f.inject(t, sim.Fault{Operation: "listRoles", Ordinal: 100, Kind: sim.FaultStatus, Status: http.StatusForbidden})
	for _, fault := range []sim.Fault{page("one", "two"), page("two", "three"), page("three", "one"), page("", "one")} {
		f.inject(t, fault)
	}
	if rows, err := f.staticEntitlements(t); status.Code(err) != codes.Internal {
		t.Errorf("static entitlements: %v, %v", rows, err)
	}
	if rows, err := f.listType(t.Context(), typeRole); status.Code(err) != codes.Internal {
		t.Errorf("roles: %v, %v", rows, err)
	}
}

// If Segment refuses a cursor, the error advises a new file: a resumed sync
// would send the same cursor.
func TestList_RefusedCursor(t *testing.T) {
	t.Parallel()
	for operation, read := range map[string]func(*fixture) error{
		"listUsers": func(f *fixture) error { return readList(f, syncerOf[*userSyncer](f, typeUser).List) },
		"listSpaces": func(f *fixture) error {
			return readList(f, syncerOf[*grantableCatalog[segmentapi.Space]](f, typeSpace).List)
		},
		"listUsersFromUserGroup": func(f *fixture) error {
			_, err := f.grants(t.Context(), must(groupResource("", segmentapiGroup("g1")))(t))
			return err
		},
	} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			f := newPagedFixture(t, full(), 1)
			f.inject(t, sim.Fault{Operation: operation, Kind: sim.FaultExpiredCursor})
			err := read(f)
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), operation) || !strings.Contains(err.Error(), "start again with a new file") {
				t.Errorf("%v", err)
			}
		})
	}
}

// readList reads a list to its end.
func readList(f *fixture, list func(context.Context, *v2.ResourceId, rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error)) error {
	_, err := allPages(f, func(o rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
		return list(context.Background(), nil, o)
	})
	return err
}
