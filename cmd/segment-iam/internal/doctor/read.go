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
const badToken = "no-such-token"

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
	labels         []segmentapi.Label
	// listed are the ids of resources by the type in permissions.
	listed map[segmentapi.ScopeType]map[string]bool
	// failed has the error of each operation that failed.
	failed map[string]error
	// badToken and tooMany are the statuses of requests that are to be refused, or 0 if
	// there was no answer.
	badToken, tooMany int
	// member is the answer to the member's token, or nil if it was not asked.
	member *memberAnswer
	// repeated is how many rows of lists came twice.
	repeated int
	// asked counts requests about single users and groups, and gone those that were not
	// found although they are listed.
	asked, gone int
}

// A memberAnswer is the answer about a user to the member's token.
type memberAnswer struct {
	err error
	// hasPermissions is set if the answer has such a field.
	hasPermissions bool
	// shown is how many of the user's assignments the token shows, and all how many the
	// first token shows. If that is none, nobody was asked for.
	shown, all int
}

// A groupDetail is a group with its members.
type groupDetail struct {
	segmentapi.Group
	users   []string // Ids.
	pending int
}

func (w *workspace) read(ctx context.Context) error {
	if _, err := w.client.Workspace.Get(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// The error itself quotes Segment, which may name anything.
		return fmt.Errorf("the workspace cannot be read (%s): check the token and the region", failureText(err))
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
		w.readFunctions(ctx, kind)
	}
	var err error
	if w.labels, err = w.client.Labels.List(ctx); err != nil {
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

func (w *workspace) readFunctions(ctx context.Context, kind segmentapi.FunctionType) {
	const all = "functions"
	name := all + " of type " + string(kind)
	readResources(w, name, segmentapi.ScopeFunction, w.client.Functions.All(ctx, kind), func(f segmentapi.Function) string { return f.ID })
	err := w.failed[name]
	delete(w.failed, name)
	// A list that really failed counts more than one that the plan lacks.
	if other := w.failed[all]; err != nil && !segmentapi.UnknownFunctionType(kind, err) && (other == nil || segmentapi.LacksFeature(other)) {
		w.failed[all] = err
	}
}

func (w *workspace) readGroups(ctx context.Context) {
	for _, listed := range w.listedGroups[:min(len(w.listedGroups), MaxGroups)] {
		w.asked++
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

// noteFailure keeps the first failure of an operation. If Segment does not find the user or
// group any more, it is only counted.
func (w *workspace) noteFailure(name string, err error) {
	switch {
	case errors.Is(err, segmentapi.ErrNotFound) && segmentapi.FromSegment(err):
		w.gone++
	case w.failed[name] == nil:
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
			w.asked++
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
	observed := newObserver(o.Transport)
	defer func() { w.requests += observed.requests }()
	refused, err := o.NewClient(badToken, observed)
	if err != nil {
		return err
	}
	_, err = refused.Users.List(ctx, segmentapi.ListOptions{Count: 1})
	w.badToken = statusIn(err)
	if err == nil {
		w.badToken = http.StatusOK
	}
	if o.MemberToken == "" {
		return ctx.Err()
	}
	subject, all := w.richest()
	w.member = &memberAnswer{all: len(all)}
	if len(all) == 0 {
		return ctx.Err()
	}
	client, err := o.NewClient(o.MemberToken, observed)
	if err != nil {
		return err
	}
	detail, err := client.Users.Get(ctx, subject)
	w.member.err, w.member.hasPermissions = err, observed.detailCounts[detailKind{"user", true}] > 0
	if err == nil {
		w.member.shown = len(all) - len(segmentapi.Compare(all, segmentapi.Assignments(detail.Permissions)).Removed)
	}
	return ctx.Err()
}

// richest returns the id of a user who holds as much as any, with the assignments.
func (w *workspace) richest() (string, []segmentapi.Assignment) {
	var id string
	var most []segmentapi.Assignment
	for _, u := range w.details {
		if held := segmentapi.Assignments(u.Permissions); len(held) > len(most) {
			id, most = u.ID, held
		}
	}
	return id, most
}
