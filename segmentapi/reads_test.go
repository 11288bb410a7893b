package segmentapi

import (
	"context"
	"errors"
	"net/http"
	"testing"
)

// An anyRead is one operation that reads, with its result left out.
type anyRead struct {
	operation, path string
	run             func(context.Context, *Client) error
}

// reads is every operation that reads; those of one object ask for x1.
func reads() []anyRead {
	return []anyRead{
		{"getWorkspace", "/", func(ctx context.Context, c *Client) error {
			_, err := c.Workspace.Get(ctx)
			return err
		}},
		{"listUsers", "/users", readsPage(func(c *Client) pageFunc[User] { return c.Users.List })},
		{"getUser", "/users/x1", readsOne(func(c *Client) getFunc[User] { return c.Users.Get })},
		{"listInvites", "/invites", readsPage(func(c *Client) pageFunc[string] { return c.Invites.List })},
		{"listUserGroups", "/groups", readsPage(func(c *Client) pageFunc[Group] { return c.Groups.List })},
		{"getUserGroup", "/groups/x1", readsOne(func(c *Client) getFunc[Group] { return c.Groups.Get })},
		{"listUsersFromUserGroup", "/groups/g1/users", readsPage(func(c *Client) pageFunc[User] {
			return func(ctx context.Context, opts ListOptions) (*Page[User], error) {
				return c.Groups.ListMembers(ctx, "g1", opts)
			}
		})},
		{"listInvitesFromUserGroup", "/groups/g1/invites", readsPage(func(c *Client) pageFunc[string] {
			return func(ctx context.Context, opts ListOptions) (*Page[string], error) {
				return c.Groups.ListInvites(ctx, "g1", opts)
			}
		})},
		{"listRoles", "/roles", readsPage(func(c *Client) pageFunc[Role] { return c.Roles.List })},
		{"listSources", "/sources", readsPage(func(c *Client) pageFunc[Source] { return c.Sources.List })},
		{"getSource", "/sources/x1", readsOne(func(c *Client) getFunc[Source] { return c.Sources.Get })},
		{"listWarehouses", "/warehouses", readsPage(func(c *Client) pageFunc[Warehouse] { return c.Warehouses.List })},
		{"getWarehouse", "/warehouses/x1", readsOne(func(c *Client) getFunc[Warehouse] { return c.Warehouses.Get })},
		{"listFunctions", "/functions", readsPage(func(c *Client) pageFunc[Function] {
			return func(ctx context.Context, opts ListOptions) (*Page[Function], error) {
				return c.Functions.List(ctx, FunctionSource, opts)
			}
		})},
		{"getFunction", "/functions/x1", readsOne(func(c *Client) getFunc[Function] { return c.Functions.Get })},
		{"listSpaces", "/spaces", readsPage(func(c *Client) pageFunc[Space] { return c.Spaces.List })},
		{"getSpace", "/spaces/x1", readsOne(func(c *Client) getFunc[Space] { return c.Spaces.Get })},
		{"listAuditEvents", "/audit-events", readsPage(func(c *Client) pageFunc[AuditEvent] {
			return func(ctx context.Context, opts ListOptions) (*Page[AuditEvent], error) {
				return c.Audit.List(ctx, AuditOptions{ListOptions: opts})
			}
		})},
		{"listLabels", "/labels", func(ctx context.Context, c *Client) error {
			_, err := c.Labels.List(ctx)
			return err
		}},
	}
}

type (
	pageFunc[T any] func(context.Context, ListOptions) (*Page[T], error)
	getFunc[T any]  func(context.Context, string) (*T, error)
)

func readsPage[T any](of func(*Client) pageFunc[T]) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error {
		_, err := of(c)(ctx, ListOptions{})
		return err
	}
}

func readsOne[T any](of func(*Client) getFunc[T]) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error {
		_, err := of(c)(ctx, "x1")
		return err
	}
}

// The error of each operation names it, and an answer about another object is an
// error.
func TestReads_ErrorsNameTheOperation(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status int
		body   string
		want   error
	}{
		"refused":      {403, `{"errors":[{"type":"forbidden"}]}`, ErrForbidden},
		"refused type": {400, `{"errors":[{"type":"bad-request","message":"Your plan does not include this"}]}`, ErrBadRequest},
		"empty":        {200, "", ErrBadResponse},
		"empty object": {200, "{}", ErrBadResponse},
		"null data":    {200, `{"data":null}`, ErrBadResponse},
		"no rows":      {200, `{"data":{"pagination":{"current":"MA=="}}}`, ErrBadResponse},
		"nothing but null": {200, `{"data":{"workspace":null,"user":null,"users":null,"invites":null,"emails":null,"userGroup":null,"userGroups":null,
			"roles":null,"source":null,"sources":null,"warehouse":null,"warehouses":null,"function":null,"functions":null,
			"space":null,"spaces":null,"labels":null,"events":null,"pagination":{"current":"MA=="}}}`, ErrBadResponse},
		"rows without id": {200, `{"data":{"workspace":{},"user":{},"users":[{}],"invites":[""],"emails":[""],"userGroup":{},"userGroups":[{}],
			"roles":[{}],"source":{},"sources":[{}],"warehouse":{},"warehouses":[{}],"function":{},"functions":[{}],
			"space":{},"spaces":[{}],"labels":[{"key":"a","value":"b"},{"value":"b"}],"events":[{"timestamp":"2025-01-14T15:04:05.000Z"}],"pagination":{"current":"MA=="}}}`, ErrBadResponse},
		"something else": {200, `{"data":{"user":{"id":"x2"},"userGroup":{"id":"x2"},"source":{"id":"x2"},"warehouse":{"id":"x2"},
			"function":{"id":"x2"},"space":{"id":"x2"}}}`, ErrBadResponse},
	}
	for name, tt := range tests {
		for _, read := range reads() {
			t.Run(name+" "+read.operation, func(t *testing.T) {
				t.Parallel()
				c, sent := serve(t, answer(tt.status, jsonType, tt.body))
				err := read.run(t.Context(), c)
				var e *Error
				if !errors.Is(err, tt.want) || !errors.As(err, &e) || *sent != 1 {
					t.Fatalf("got %v after %d requests, want %v", err, *sent, tt.want)
				}
				if e.Operation != read.operation || e.Method != http.MethodGet || e.Path != read.path || e.StatusCode != tt.status {
					t.Errorf("got %+v", e)
				}
			})
		}
	}
}

// Segment sends the id of a space with or without its prefix.
func TestSpaceIDForms(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		asked, answered string
		ok              bool
	}{
		{"spa_1", "spa_1", true}, {"spa_1", "1", true}, {"1", "spa_1", true}, {"1", "1", true},
		{"1", "2", false}, {"spa_1", "spa_2", false}, {"1", "dfn_1", false}, {"spa_", "", false},
	} {
		var path string
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			path = r.URL.Path
			answer(200, jsonType, `{"data":{"space":{"id":"`+tt.answered+`"}}}`)(w, r)
		})
		got, err := c.Spaces.Get(t.Context(), tt.asked)
		if path != "/spaces/"+tt.asked {
			t.Errorf("asked %s for %s", path, tt.asked)
		}
		switch {
		case tt.ok && (err != nil || got.ID != tt.answered):
			t.Errorf("asked for %s, answered %s: %v, %v", tt.asked, tt.answered, got, err)
		case !tt.ok && !errors.Is(err, ErrBadResponse):
			t.Errorf("asked for %s, answered %s: %v, %v", tt.asked, tt.answered, got, err)
		}
	}
}
