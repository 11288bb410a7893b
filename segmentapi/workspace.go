package segmentapi

import (
	"context"
	"net/http"

	"github.com/segmentio/public-api-sdk-go/api"
)

// WorkspaceService reads the workspace that the token belongs to.
type WorkspaceService struct{ c *Client }

// Get returns the workspace: GET / (getWorkspace). It is the cheapest way to
// see whether a token works.
func (s *WorkspaceService) Get(ctx context.Context) (*Workspace, error) {
	op := call{"getWorkspace", http.MethodGet, "/"}
	out, _, err := execute(ctx, s.c, op, func(ctx context.Context) (*api.GetWorkspace200Response, *http.Response, error) {
		return s.c.raw.WorkspacesAPI.GetWorkspace(ctx).Execute()
	})
	if err != nil {
		return nil, err
	}
	if out.Data == nil || out.Data.Workspace.Id == "" {
		return nil, op.bad("the answer has no workspace")
	}
	w := workspaceOf(out.Data.Workspace)
	s.c.writer.workspaceID.Store(&w.ID)
	return &w, nil
}
