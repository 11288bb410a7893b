package sim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// A Feature is what a workspace can lack because of its plan or its version of
// the API.
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
)

// Features lists every feature.
func Features() []Feature {
	return []Feature{
		FeatureGroups, FeatureSpaces, FeatureWarehouses, FeatureFunctions, FeatureLabels, FeatureInsertTransformations,
	}
}

// ParseFeatures reads names that commas separate. No name is no feature.
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
	return strings.Join(each(features, func(f Feature) string { return string(f) }), ", ")
}

// WithoutFeatures makes every operation of some features refuse as on a plan
// that does not include them. Such an answer is reported for groups only; that
// other features get one like it, and the groups of a user too, are assumptions.
func WithoutFeatures(features ...Feature) Option {
	return func(s *Server) { s.without = append(s.without, features...) }
}

// defaultGateStatus is what the type of the known error suggests.
const defaultGateStatus = http.StatusBadRequest

// WithGateStatus sets the HTTP status of what WithoutFeatures refuses, from 400
// to 499. The default, 400, is an assumption; 403 and 404 are as possible.
func WithGateStatus(status int) Option {
	return func(s *Server) { s.gateStatus = status }
}

// gate refuses an operation whose feature the plan does not include. The words
// are those that have been seen for groups; for the others they are made up
// alike.
func (s *Server) gate(op *operation) *problem {
	if op.feature == "" || !slices.Contains(s.without, op.feature) {
		return nil
	}
	name := "User Groups"
	if op.feature != FeatureGroups {
		name = strings.ToUpper(string(op.feature[:1])) + string(op.feature[1:])
	}
	return &problem{
		Type:    "bad-request",
		Message: fmt.Sprintf("Your plan does not include %s. Contact sales to upgrade to business tier.", name),
		Status:  s.gateStatus,
		bare:    true,
	}
}
