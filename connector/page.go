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

	"github.com/baton-segment/baton-segment/connector/internal/syncstate"
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
	// Mark is an earlier cursor, from which Steps pages have been read so far. After
	// Reach pages it is set anew and Reach is doubled, so a list that runs in a
	// circle comes back to it, however long the circle.
	Mark  string `json:"mark,omitempty"`
	Steps int    `json:"steps,omitempty"`
	Reach int    `json:"reach,omitempty"`
	// Pages is how many pages of the list came before this one, and Empty how many of
	// the last of them had no rows.
	Pages int `json:"pages,omitempty"`
	Empty int `json:"empty,omitempty"`
}

// parsePageToken reads the token of a call that has these phases, or none. It
// refuses a token that this version cannot have made: it may come from the
// checkpoint of another version, and must not decide which rows are read.
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
	least, most := min(t.Rows, t.Of, t.Steps, t.Reach, t.Pages, t.Empty), max(t.Rows, t.Of, t.Steps, t.Reach, t.Pages, t.Empty)
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

// follow returns the token of the page that next leads to. The parameter rows is how
// many rows the page before it has.
func (t pageToken) follow(what, next string, rows int) (pageToken, error) {
	if next == t.Mark {
		// Without the cursor, which may be anything and of any length.
		return t, status.Errorf(codes.Internal, "%s: a cursor came twice: the list would never end", what)
	}
	t.Cursor = next
	t.Steps++
	t.Pages++
	t.Empty++
	if rows > 0 {
		t.Empty = 0
	}
	if t.Pages >= segmentapi.MaxPages || t.Empty >= segmentapi.MaxEmptyPages {
		return t, status.Errorf(codes.Internal, "%s: the list has not ended after %d pages, the last %d of which are empty", what, t.Pages, t.Empty)
	}
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
	kind *kind
	// parts are the lists that make up the whole, if there are several.
	parts []string
	// page returns a page of a part. Its errors are the SDK's, see ask.
	page func(ctx context.Context, part string, opts segmentapi.ListOptions) (*segmentapi.Page[T], error)
	// unknown reports that a workspace does not know a part, and so has no rows of
	// it. It may be nil.
	unknown func(part string, err error) bool
	// shown selects the rows of a page that become resources, and returns how many of
	// the page count as rows of the list. It may be nil: then all do.
	shown    func(ctx context.Context, s syncstate.Sync, part string, rows []T) ([]T, int, error)
	resource resourceFunc[T]
	// email returns the e-mail by which other calls refer to a row. It may be nil.
	email func(T) string
	// keep stores what a row says beyond itself. It may be nil.
	keep func(context.Context, syncstate.Sync, []T) error
}

// read serves one page.
func (l listing[T]) read(ctx context.Context, c *Connector, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	token, err := parsePageToken(opts.PageToken.Token, l.parts...)
	if err != nil {
		return nil, nil, err
	}
	if token.Phase == "" && len(l.parts) > 0 {
		token.Phase = l.parts[0]
	}
	s, workspace, err := c.openSync(ctx, opts)
	if err != nil {
		return nil, nil, err
	}
	if opts.PageToken.Token == "" {
		if err = s.BeginList(ctx, l.kind.id); err != nil {
			return nil, nil, err
		}
		c.progress.listBegun(s.ID(), l.kind.id)
	}
	page, token, err := l.request(ctx, token)
	if err != nil {
		return nil, nil, err
	}
	shown, rows := page.Items, len(page.Items)
	if l.shown != nil {
		if shown, rows, err = l.shown(ctx, s, token.Phase, page.Items); err != nil {
			return nil, nil, err
		}
	}
	resources, err := l.store(ctx, s, workspace, shown)
	if err != nil {
		return nil, nil, err
	}
	token.Rows += rows
	s.Count(l.kind.id, len(resources))
	if page.Next != "" {
		next, followErr := token.follow(whatLists(l.kind.id), page.Next, len(page.Items))
		return resources, results(&next), followErr
	}
	if i := slices.Index(l.parts, token.Phase) + 1; i < len(l.parts) {
		return resources, results(&pageToken{Phase: l.parts[i], Rows: token.Rows, Skipped: token.Skipped, Why: token.Why}), nil
	}
	return resources, nil, l.end(ctx, c, s, token)
}

// request asks for one page. A first page that the workspace's plan lacks is
// empty, and noted in the token.
func (l listing[T]) request(ctx context.Context, token pageToken) (*segmentapi.Page[T], pageToken, error) {
	page, err := l.page(ctx, token.Phase, segmentapi.ListOptions{Cursor: token.Cursor})
	first := token.Cursor == ""
	switch {
	case err == nil:
		return page, token, nil
	case first && l.unknown != nil && l.unknown(token.Phase, err):
		return &segmentapi.Page[T]{}, token, nil
	case first && l.kind.optional && segmentapi.LacksFeature(err):
		token.Skipped, token.Why = append(token.Skipped, token.Phase), cmp.Or(token.Why, err.Error())
		return &segmentapi.Page[T]{}, token, nil
	}
	err = explainCursor(err, token)
	if l.kind.optional {
		err = hint(err, "to leave this type out, list the others with --sync-resource-types")
	}
	return nil, token, err
}

// store makes resources of rows and keeps what later calls ask for.
func (l listing[T]) store(ctx context.Context, s syncstate.Sync, workspace string, items []T) ([]*v2.Resource, error) {
	resources, rows := make([]*v2.Resource, len(items)), make([]syncstate.Row, len(items))
	for i, item := range items {
		r, err := l.resource(workspace, item)
		if err != nil {
			return nil, err
		}
		resources[i], rows[i] = r, syncstate.Row{ID: r.GetId().GetResource(), Name: r.GetDisplayName()}
		if l.email != nil {
			rows[i].Email = l.email(item)
		}
	}
	if err := s.AddRows(ctx, l.kind.id, rows); err != nil {
		return nil, err
	}
	if l.keep != nil {
		if err := l.keep(ctx, s, items); err != nil {
			return nil, err
		}
	}
	return resources, nil
}

// end notes that the list has been read to its end, and what of it was skipped.
func (l listing[T]) end(ctx context.Context, c *Connector, s syncstate.Sync, token pageToken) error {
	if len(token.Skipped) > 0 {
		what := l.kind.id
		if token.Rows > 0 {
			what += " of the type " + strings.Join(token.Skipped, ", ")
		}
		logSkipped(ctx, what, token.Why)
		if err := s.Skip(ctx, l.kind.id, what); err != nil {
			return err
		}
	}
	if err := s.Mark(ctx, syncstate.Ended(l.kind.id), token.Rows); err != nil {
		return err
	}
	if l.kind.perRow {
		if err := s.Mark(ctx, syncstate.OwnersNoted(l.kind.id), 1); err != nil {
			return err
		}
	}
	// Without a store every detail is asked for twice, so it is not known how many
	// there will be.
	if kept, err := s.Usable(ctx); !kept || err != nil {
		return err
	}
	c.progress.listEnded(s.ID(), l.kind.id, token.Rows)
	return nil
}
