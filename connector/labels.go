package connector

import (
	"context"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// A labelSet is what a role may be held on: everything in the workspace that
// carries all of its labels.
type labelSet []segmentapi.Label

// isSet reports whether there are several labels. No list returns such sets.
func (l labelSet) isSet() bool { return len(l) > 1 && len(access.LabelIDs(l)) > 1 }

// listLabels returns all labels, each as a set of its own: one request.
func listLabels(c *segmentapi.Client) listFunc[labelSet] {
	return func(ctx context.Context, _ segmentapi.ListOptions) (*segmentapi.Page[labelSet], error) {
		labels, err := c.Labels.List(ctx)
		page := &segmentapi.Page[labelSet]{}
		for _, label := range labels {
			page.Items = append(page.Items, labelSet{label})
		}
		return page, err
	}
}

// getLabels returns one label from the list of all, because Segment serves no
// single label: one request. A set of several labels is known from its id.
func getLabels(c *segmentapi.Client) getFunc[labelSet] {
	return func(ctx context.Context, id string) (*labelSet, error) {
		if labels, ok := access.ParseLabelID(id); ok && len(labels) > 1 {
			set := labelSet(labels)
			return &set, nil
		}
		page, err := listLabels(c)(ctx, segmentapi.ListOptions{})
		if err != nil {
			return nil, err
		}
		return findRow(id, page.Items, func(set labelSet) string { return access.LabelID(set) })
	}
}

func describeLabels(set labelSet) description {
	d := description{id: access.LabelID(set), names: []string{access.LabelText(set)}, profile: map[string]any{"labels": labelProfile(set)}}
	if set.isSet() {
		d.profile["listed"] = false
	} else {
		d.text = set[0].Description
	}
	return d
}

// labelProfile is how a profile shows labels: by their ids.
func labelProfile(labels []segmentapi.Label) []any {
	ids := []any{}
	for _, id := range access.LabelIDs(labels) {
		ids = append(ids, id)
	}
	return ids
}
