package sim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// A Feature is a part of the API that a workspace lacks if its plan or its version of
// the API does not have it.
type Feature string

// The features that a workspace can lack.
const (
	FeatureGroups     Feature = "groups"
	FeatureSpaces     Feature = "spaces"
	FeatureWarehouses Feature = "warehouses"
	FeatureFunctions  Feature = "functions"
	FeatureLabels     Feature = "labels"
	// FeatureInsertTransformations is a type of functions that came with API
	// 62.0.6. To a workspace without it the type is not valid: 422.
	FeatureInsertTransformations Feature = "insert-transformations"
	FeatureAuditTrail            Feature = "audit-trail"
)

// Features lists every feature.
func Features() []Feature {
	return []Feature{
		FeatureGroups, FeatureSpaces, FeatureWarehouses, FeatureFunctions, FeatureLabels, FeatureInsertTransformations,
		FeatureAuditTrail,
	}
}

// ParseFeatures reads names that commas separate. The empty string has none.
func ParseFeatures(list string) ([]Feature, error) {
	var features []Feature
	for name := range strings.SplitSeq(list, ",") {
		f := Feature(strings.TrimSpace(name))
		switch {
		case slices.Contains(Features(), f):
			features = append(features, f)
		case list != "":
			return nil, fmt.Errorf("sim: no feature %q: there are %s", f, joinFeatures(Features()))
		}
	}
	return features, nil
}

func joinFeatures(features []Feature) string {
	return strings.Join(mapSlice(features, func(f Feature) string { return string(f) }), ", ")
}

// WithoutFeatures makes the operations of some features fail as on a plan that does
// not include them. Users have reported such an answer for groups only. That the
// other features, and the list of a user's groups, get a similar one is an assumption.
func WithoutFeatures(features ...Feature) Option {
	return func(s *Server) { s.without = append(s.without, features...) }
}

// defaultGateStatus is the status that the type of the known error suggests.
const defaultGateStatus = http.StatusBadRequest

// WithGateStatus sets the HTTP status of refusals by WithoutFeatures, from 400 to 499.
// The default, 400, is an assumption; 403 and 404 are equally possible.
func WithGateStatus(status int) Option {
	return func(s *Server) { s.gateStatus = status }
}

// gate refuses an operation whose feature the plan does not include. The message for
// groups is a real one. Those for other features are made up after it.
func (s *Server) gate(op *operation) *problem {
	if op.feature == "" || !slices.Contains(s.without, op.feature) {
		return nil
	}
	name, known := map[Feature]string{FeatureGroups: "User Groups", FeatureAuditTrail: "Audit Trail"}[op.feature]
	if !known {
		name = strings.ToUpper(string(op.feature[:1])) + string(op.feature[1:])
	}
	return &problem{
		Type:    "bad-request",
		Message: fmt.Sprintf("Your plan does not include %s. Contact sales to upgrade to business tier.", name),
		Status:  s.gateStatus,
		bare:    true,
	}
}
