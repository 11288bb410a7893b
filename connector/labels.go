package connector

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// labelSyncer serves labels. A role may be held on everything in the workspace
// that carries a label, or all labels of a set.
type labelSyncer struct {
	scoped
	editable
}

var (
	_ connectorbuilder.StaticEntitlementSyncerV2     = (*labelSyncer)(nil)
	_ connectorbuilder.ResourceTargetedSyncerLimited = (*labelSyncer)(nil)
	_ connectorbuilder.ResourceProvisionerV2         = (*labelSyncer)(nil)
)

// ResourceType describes the type.
func (l *labelSyncer) ResourceType(context.Context) *v2.ResourceType { return labelType() }

// List returns all labels: one request. Sets of labels are in no list.
func (l *labelSyncer) List(ctx context.Context, _ *v2.ResourceId, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	return listing[segmentapi.Label]{
		what:   "listing labels",
		typeID: typeLabel,
		page: func(ctx context.Context, _ string, _ segmentapi.ListOptions) (*segmentapi.Page[segmentapi.Label], error) {
			labels, err := l.c.client.Labels.List(ctx)
			return &segmentapi.Page[segmentapi.Label]{Items: labels}, err
		},
		resource: labelResource,
	}.read(ctx, l.c, opts)
}

// Get returns one label from the list of all, because Segment serves no single
// label: one request. A set of labels is what its id says.
func (l *labelSyncer) Get(ctx context.Context, id, _ *v2.ResourceId) (*v2.Resource, annotations.Annotations, error) {
	if set, ok := parseLabelID(id.GetResource()); ok && len(set) > 1 {
		r, err := target{typeID: typeLabel, id: id.GetResource(), labels: set}.unlistedResource()
		return r, nil, err
	}
	return get(ctx, l.c, id, func(ctx context.Context, id string) (*segmentapi.Label, error) {
		labels, err := l.c.patient.Labels.List(ctx)
		if err != nil {
			return nil, err
		}
		return one(id, labels, func(label segmentapi.Label) string { return labelID([]segmentapi.Label{label}) })
	}, labelResource)
}

func labelResource(l segmentapi.Label) (*v2.Resource, error) {
	set := []segmentapi.Label{l}
	return described(rs.NewAppResource(displayName(labelText(set), labelID(set)), labelType(), labelID(set), nil,
		rs.WithDescription(clip(l.Description, maxDescription)),
		rs.WithResourceProfile(map[string]any{"labels": labelProfile(set)})))
}

// labelProfile is how a profile shows labels: by their ids.
func labelProfile(labels []segmentapi.Label) []any {
	ids := []any{}
	for _, id := range slices.Compact(labelIDs(labels)) {
		ids = append(ids, id)
	}
	return ids
}

// isSet reports whether there are several labels.
func isSet(labels []segmentapi.Label) bool {
	return len(labels) > 1 && len(labelProfile(labels)) > 1
}

// labelSumPrefix begins the id of a set of labels that is named by its
// checksum.
const labelSumPrefix = "sha256-"

// maxLabelID is the longest label id in bytes. An entitlement and a grant on a
// label hold its id too, and Baton takes 1024 bytes for each.
const maxLabelID = 512

// labelID is the resource id of a set of labels: key=value, sorted, joined by
// commas. What separates is percent-escaped inside, so different sets have
// different ids. A set whose id would be too long is named by its checksum.
func labelID(labels []segmentapi.Label) string {
	id := strings.Join(slices.Compact(labelIDs(labels)), ",")
	if len(id) > maxLabelID {
		sum := sha256.Sum256([]byte(id))
		return labelSumPrefix + hex.EncodeToString(sum[:])
	}
	return id
}

// labelIDs are the ids of single labels, sorted by key and value.
func labelIDs(labels []segmentapi.Label) []string {
	ids := make([]string, len(labels))
	for i, l := range sorted(labels) {
		ids[i] = escapeLabel(l.Key) + "=" + escapeLabel(l.Value)
	}
	return ids
}

// labelText is what to show for a set of labels: a resource must carry all.
func labelText(labels []segmentapi.Label) string {
	texts := make([]string, len(labels))
	for i, l := range sorted(labels) {
		texts[i] = l.Key + "=" + l.Value
	}
	return strings.Join(slices.Compact(texts), " and ")
}

func sorted(labels []segmentapi.Label) []segmentapi.Label {
	return slices.SortedFunc(slices.Values(labels), func(a, b segmentapi.Label) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.Value, b.Value))
	})
}

var labelEscapes = strings.NewReplacer("%", "%25", "=", "%3D", ",", "%2C", ":", "%3A")

func escapeLabel(s string) string { return labelEscapes.Replace(s) }

// parseLabelID is the inverse of labelID, or false for what is not the id of
// any set or names it by its checksum.
func parseLabelID(id string) ([]segmentapi.Label, bool) {
	var labels []segmentapi.Label
	for part := range strings.SplitSeq(id, ",") {
		key, value, _ := strings.Cut(part, "=")
		labels = append(labels, segmentapi.Label{Key: unescapeLabel(key), Value: unescapeLabel(value)})
	}
	return labels, labelID(labels) == id
}

func unescapeLabel(s string) string {
	return strings.NewReplacer("%25", "%", "%3D", "=", "%2C", ",", "%3A", ":").Replace(s)
}
