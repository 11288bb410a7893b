package connector

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// A pageToken is everything that one page knows of those before it.
type pageToken struct {
	// Phase is which of several lists is being read.
	Phase string `json:"phase,omitempty"`
	// Cursor is Segment's, empty for the first page of the list.
	Cursor string `json:"cursor,omitempty"`
	// Rows is how many rows came before this page, and Of how many there are,
	// where that is known.
	Rows int `json:"rows,omitempty"`
	Of   int `json:"of,omitempty"`
	// Skipped are the phases that the workspace's plan lacks, and Why is what
	// Segment says of the first.
	Skipped []string `json:"skipped,omitempty"`
	Why     string   `json:"why,omitempty"`
	// Mark is an earlier cursor, from which Steps pages were read so far; after
	// Reach pages it moves on, twice as far each time. A list that runs in a
	// circle, of whatever size, must come back to it.
	Mark  string `json:"mark,omitempty"`
	Steps int    `json:"steps,omitempty"`
	Reach int    `json:"reach,omitempty"`
}

// parsePageToken reads the token of a call that has these phases, or none. A
// token may come from a checkpoint of another version: what was not made by
// this one must not decide which rows are read.
func parsePageToken(s string, phases ...string) (pageToken, error) {
	var t pageToken
	if s == "" {
		return t, nil
	}
	if err := json.Unmarshal([]byte(s), &t); err != nil {
		return pageToken{}, status.Error(codes.InvalidArgument, clip(fmt.Sprintf("the page token is not one of this connector's: %v", err), maxDescription))
	}
	if t.Phase != "" && !slices.Contains(phases, t.Phase) {
		return pageToken{}, status.Error(codes.InvalidArgument, clip(fmt.Sprintf("the page token is not one of this call: it has the phase %q", t.Phase), maxDescription))
	}
	least, most := min(t.Rows, t.Of, t.Steps, t.Reach), max(t.Rows, t.Of, t.Steps, t.Reach)
	if least < 0 || most > math.MaxInt32 || t.Of > 0 && t.Rows >= t.Of {
		return pageToken{}, status.Errorf(codes.InvalidArgument, "the page token is not one of this connector's: %d rows of %d, %d pages of %d", t.Rows, t.Of, t.Steps, t.Reach)
	}
	return t, nil
}

func (t pageToken) String() string {
	b, err := json.Marshal(t)
	if err != nil {
		panic(err) // Strings and integers always encode.
	}
	return string(b)
}

// follow returns the token of the page that next leads to.
func (t pageToken) follow(what, next string) (pageToken, error) {
	if next == t.Mark {
		// Without the cursor, which may be anything and of any length.
		return t, status.Errorf(codes.Internal, "%s: a cursor came twice: the list would never end", what)
	}
	t.Cursor = next
	t.Steps++
	if t.Steps >= t.Reach {
		t.Mark, t.Steps, t.Reach = next, 0, max(1, 2*t.Reach)
	}
	return t, nil
}

// results is what a call returns beside its rows: the next page, if any.
func results(next *pageToken) *rs.SyncOpResults {
	if next == nil {
		return &rs.SyncOpResults{}
	}
	return &rs.SyncOpResults{NextPageToken: next.String()}
}

// A listing is a top-level list of the workspace, one resource per row.
type listing[T any] struct {
	what   string
	typeID string
	// kinds are the lists that make up the whole, if there are several.
	kinds []string
	page  func(ctx context.Context, kind string, opts segmentapi.ListOptions) (*segmentapi.Page[T], error)
	// unknown reports that a workspace does not know a kind, and so has none.
	// It may be nil.
	unknown  func(kind string, err error) bool
	resource func(T) (*v2.Resource, error)
	// remember keeps what later phases ask for. It may be nil.
	remember func(context.Context, session, []T) error
}

// read serves one page.
func (l listing[T]) read(ctx context.Context, c *Connector, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	token, err := parsePageToken(opts.PageToken.Token, l.kinds...)
	if err != nil {
		return nil, nil, err
	}
	if token.Phase == "" && len(l.kinds) > 0 {
		token.Phase = l.kinds[0]
	}
	s := c.session(opts)
	if opts.PageToken.Token == "" {
		if err = s.begin(ctx, l.typeID); err != nil {
			return nil, nil, err
		}
	}
	page, err := ask(ctx, c, l.what, func(ctx context.Context) (*segmentapi.Page[T], error) {
		return l.page(ctx, token.Phase, segmentapi.ListOptions{Cursor: token.Cursor})
	})
	first := token.Cursor == ""
	switch {
	case err == nil:
	case first && l.unknown != nil && l.unknown(token.Phase, err):
		page = &segmentapi.Page[T]{}
	case first && optional(l.typeID) && notInPlan(err):
		token.Skipped, token.Why = append(token.Skipped, token.Phase), cmp.Or(token.Why, err.Error())
		page = &segmentapi.Page[T]{}
	case optional(l.typeID):
		return nil, nil, hint(lost(err, token), "to do without this type, name the others with --sync-resource-types")
	default:
		return nil, nil, lost(err, token)
	}
	rows := make([]*v2.Resource, len(page.Items))
	ids := make(map[string]string, len(page.Items))
	for i, item := range page.Items {
		if rows[i], err = l.resource(item); err != nil {
			return nil, nil, err
		}
		ids[rows[i].GetId().GetResource()] = rows[i].GetDisplayName()
	}
	if err = s.list(ctx, l.typeID, ids); err != nil {
		return nil, nil, err
	}
	if l.remember != nil {
		if err = l.remember(ctx, s, page.Items); err != nil {
			return nil, nil, err
		}
	}
	token.Rows += len(rows)
	s.tally.add(s.syncID, l.typeID, len(rows))
	if page.Next != "" {
		next, followErr := token.follow(l.what, page.Next)
		return rows, results(&next), followErr
	}
	if i := slices.Index(l.kinds, token.Phase) + 1; i < len(l.kinds) {
		return rows, results(&pageToken{Phase: l.kinds[i], Rows: token.Rows, Skipped: token.Skipped, Why: token.Why}), nil
	}
	if len(token.Skipped) > 0 {
		what := l.typeID
		if token.Rows > 0 {
			what += " of the type " + strings.Join(token.Skipped, ", ")
		}
		if err = s.skip(ctx, what, token.Why); err != nil {
			return nil, nil, err
		}
	}
	return rows, nil, s.finish(ctx, l.typeID, token.Rows)
}
