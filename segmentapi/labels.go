package segmentapi

import (
	"context"
	"net/http"

	"github.com/segmentio/public-api-sdk-go/api"
)

// LabelService reads the labels that the workspace defines.
type LabelService struct{ c *Client }

// List returns every label: GET /labels (listLabels). It is the only list of
// the API without pages.
func (s *LabelService) List(ctx context.Context) ([]Label, error) {
	op := call{"listLabels", http.MethodGet, "/labels"}
	out, _, err := execute(ctx, s.c, op, func(ctx context.Context) (*api.ListLabels200Response, *http.Response, error) {
		stateOf(ctx).list = true
		return s.c.raw.LabelsAPI.ListLabels(ctx).Execute()
	})
	if err != nil {
		return nil, err
	}
	rows := out.GetData().Labels
	if rows == nil {
		return nil, op.bad("the answer has no rows, not even an empty list")
	}
	for i, l := range rows {
		if l.Key == "" {
			return nil, op.bad("row %d has no key", i+1)
		}
	}
	return labelsOf(rows), nil
}
