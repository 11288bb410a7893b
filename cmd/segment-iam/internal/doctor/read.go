package doctor

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"

	"github.com/segmentio/public-api-sdk-go/api"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// Limits of what is read, so that a large workspace takes a minute at most.
const (
	MaxUsers  = 100
	MaxGroups = 50
)

// badToken is a token that no workspace has.
const badToken = "no-such-token" //nolint:gosec // G101: not a secret.

// refusedCount is more rows than a page may have.
const refusedCount = segmentapi.MaxPageSize + 1

// A workspace is what was read of it.
type workspace struct {
	*observer
	client *segmentapi.Client

	users, details []segmentapi.User
	invites        []string
	groups         []groupDetail
	listedGroups   []segmentapi.Group
	roles          []segmentapi.Role
	// listed are the ids of resources by the type in permissions.
	listed map[segmentapi.ScopeType]map[string]bool
	// failed has the error of each operation that failed.
	failed map[string]error
	// badToken, tooMany and member are the answers to requests that are to be refused, or
	// 0 if there was none.
	badToken, tooMany, member int
	// memberShowsPermissions is set if details show permissions to the member's token.
	memberAsked, memberShowsPermissions bool
	// repeated is how many rows of lists came twice.
	repeated int
}

// A groupDetail is a group with its members.
type groupDetail struct {
	segmentapi.Group
	users   []string // Ids.
	pending int
}

func (w *workspace) read(ctx context.Context) error {
	if _, err := w.client.Workspace.Get(ctx); err != nil {
		return fmt.Errorf("reading the workspace: %w", err)
	}
	w.listed = map[segmentapi.ScopeType]map[string]bool{}
	w.users = readList(w, "users", w.client.Users.All(ctx), func(u segmentapi.User) string { return u.ID })
	w.invites = readList(w, "invites", w.client.Invites.All(ctx), func(email string) string { return email })
	w.listedGroups = readList(w, "groups", w.client.Groups.All(ctx), func(g segmentapi.Group) string { return g.ID })
	w.roles = readList(w, "roles", w.client.Roles.All(ctx), func(r segmentapi.Role) string { return r.ID })
	readResources(w, "sources", segmentapi.ScopeSource, w.client.Sources.All(ctx), func(s segmentapi.Source) string { return s.ID })
	readResources(w, "warehouses", segmentapi.ScopeWarehouse, w.client.Warehouses.All(ctx), func(s segmentapi.Warehouse) string { return s.ID })
	readResources(w, "spaces", segmentapi.ScopeSpace, w.client.Spaces.All(ctx), func(s segmentapi.Space) string { return s.ID })
	for _, kind := range segmentapi.FunctionTypes() {
		readResources(w, "functions", segmentapi.ScopeFunction, w.client.Functions.All(ctx, kind), func(f segmentapi.Function) string { return f.ID })
	}
	if _, err := w.client.Labels.List(ctx); err != nil {
		w.failed["labels"] = err
	}
	w.readGroups(ctx)
	w.readUsers(ctx)
	_, resp, err := w.client.Raw().IAMUsersAPI.ListUsers(ctx).Pagination(api.PaginationInput{Count: refusedCount}).Execute()
	w.tooMany = statusOf(resp, err)
	return ctx.Err()
}

func statusOf(resp *http.Response, err error) int {
	if resp == nil {
		return statusIn(err)
	}
	_ = resp.Body.Close() // Read already.
	return resp.StatusCode
}

// statusIn returns the status of a failed operation, or 0 if there was no answer.
func statusIn(err error) int {
	var failed *segmentapi.Error
	if errors.As(err, &failed) {
		return failed.StatusCode
	}
	return 0
}

// readList returns the rows of a list, and notes whether it failed or repeated a row.
func readList[T any](w *workspace, name string, rows iter.Seq2[T, error], id func(T) string) []T {
	var all []T
	seen := map[string]bool{}
	for row, err := range rows {
		if err != nil {
			w.failed[name] = err
			break
		}
		if seen[id(row)] {
			w.repeated++
			continue
		}
		seen[id(row)] = true
		all = append(all, row)
	}
	return all
}

func readResources[T any](w *workspace, name string, scope segmentapi.ScopeType, rows iter.Seq2[T, error], id func(T) string) {
	ids := inner(w.listed, scope)
	for _, row := range readList(w, name, rows, id) {
		ids[id(row)] = true
	}
}

func (w *workspace) readGroups(ctx context.Context) {
	for _, listed := range w.listedGroups[:min(len(w.listedGroups), MaxGroups)] {
		detail, err := w.client.Groups.Get(ctx, listed.ID)
		if err != nil {
			w.noteFailure("group", err)
			continue
		}
		g := groupDetail{Group: *detail}
		for member, err := range w.client.Groups.AllMembers(ctx, listed.ID) {
			if err != nil {
				w.noteFailure("members", err)
				break
			}
			g.users = append(g.users, member.ID)
		}
		for _, err := range w.client.Groups.AllInvites(ctx, listed.ID) {
			if err != nil {
				w.noteFailure("pending members", err)
				break
			}
			g.pending++
		}
		w.groups = append(w.groups, g)
	}
}

// noteFailure keeps the first failure of an operation, unless what was asked for has gone
// since it was listed.
func (w *workspace) noteFailure(name string, err error) {
	if w.failed[name] == nil && !errors.Is(err, segmentapi.ErrNotFound) {
		w.failed[name] = err
	}
}

// readUsers reads users, members of groups first: they show most.
func (w *workspace) readUsers(ctx context.Context) {
	inGroup := map[string]bool{}
	for _, g := range w.groups {
		for _, id := range g.users {
			inGroup[id] = true
		}
	}
	left := MaxUsers
	for _, first := range []bool{true, false} {
		for _, u := range w.users {
			if inGroup[u.ID] != first || left == 0 {
				continue
			}
			left--
			detail, err := w.client.Users.Get(ctx, u.ID)
			if err != nil {
				w.noteFailure("user", err)
				continue
			}
			w.details = append(w.details, *detail)
		}
	}
}

// readWithOtherTokens asks with a token that does not exist and with that of a member.
func (w *workspace) readWithOtherTokens(ctx context.Context, o Options) error {
	refused, err := o.NewClient(badToken, o.Transport)
	if err != nil {
		return err
	}
	_, err = refused.Users.List(ctx, segmentapi.ListOptions{Count: 1})
	w.badToken = statusIn(err)
	if err == nil {
		w.badToken = http.StatusOK
	}
	if o.MemberToken == "" || len(w.users) == 0 {
		return ctx.Err()
	}
	member, err := o.NewClient(o.MemberToken, o.Transport)
	if err != nil {
		return err
	}
	w.memberAsked = true
	if _, err = member.Users.Get(ctx, w.users[0].ID); err != nil {
		w.member = statusIn(err)
	} else {
		w.member, w.memberShowsPermissions = http.StatusOK, true
	}
	return ctx.Err()
}
