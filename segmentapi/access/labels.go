package access

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// MaxLabelID is the longest [LabelID] in bytes, except for one that is a
// checksum. It leaves room for the other parts of an id of 1024 bytes.
const MaxLabelID = 512

// labelSumPrefix begins the id of a set of labels that is a checksum.
const labelSumPrefix = "sha256-"

// LabelID returns the id of a set of labels: key=value, sorted by key and value,
// each once, joined by commas. In keys and values the characters % = , and : are
// percent-escaped, so that different sets have different ids. If the id would be
// longer than [MaxLabelID], its SHA-256 checksum takes its place.
func LabelID(labels []segmentapi.Label) string {
	id := strings.Join(LabelIDs(labels), ",")
	if len(id) > MaxLabelID {
		sum := sha256.Sum256([]byte(id))
		return labelSumPrefix + hex.EncodeToString(sum[:])
	}
	return id
}

// LabelIDs returns the id of each label, sorted, each once.
func LabelIDs(labels []segmentapi.Label) []string {
	ids := make([]string, len(labels))
	for i, l := range sorted(labels) {
		ids[i] = escapeLabel(l.Key) + "=" + escapeLabel(l.Value)
	}
	return slices.Compact(ids)
}

// ParseLabelID returns the labels whose [LabelID] is id. It returns false for a
// checksum and for a string that is not the id of any set.
func ParseLabelID(id string) ([]segmentapi.Label, bool) {
	var labels []segmentapi.Label
	for part := range strings.SplitSeq(id, ",") {
		key, value, _ := strings.Cut(part, "=")
		labels = append(labels, segmentapi.Label{Key: unescapeLabel(key), Value: unescapeLabel(value)})
	}
	return labels, LabelID(labels) == id
}

// IsLabelSum reports whether id has the form of a [LabelID] that is a checksum.
func IsLabelSum(id string) bool { return strings.HasPrefix(id, labelSumPrefix) }

// LabelText returns a set of labels as people read it: "k=v and k2=v2".
func LabelText(labels []segmentapi.Label) string {
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

func escapeLabel(s string) string {
	return strings.NewReplacer("%", "%25", "=", "%3D", ",", "%2C", ":", "%3A").Replace(s)
}

func unescapeLabel(s string) string {
	return strings.NewReplacer("%25", "%", "%3D", "=", "%2C", ",", "%3A", ":").Replace(s)
}
