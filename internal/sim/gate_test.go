package sim

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// request returns a target that is routed to the operation.
func (o Operation) request() string {
	path := strings.NewReplacer("{$}", "", "{id}", "any", "{key}", "any", "{value}", "any").Replace(o.Path)
	if o.Name == "listFunctions" {
		path += "?resourceType=SOURCE"
	}
	return path
}

func TestWithoutFeatures_RefusesEveryOperationOfAFeature(t *testing.T) {
	t.Parallel()
	// The test derives features from paths, independently of the table of routes.
	gated := map[Feature]string{
		FeatureGroups:                "/group",
		FeatureSpaces:                "/space",
		FeatureWarehouses:            "/warehouse",
		FeatureFunctions:             "/function",
		FeatureLabels:                "/label",
		FeatureInsertTransformations: "/none",
		FeatureAuditTrail:            "/audit-events",
	}
	says := map[Feature]string{
		FeatureGroups: "User Groups", FeatureSpaces: "Spaces", FeatureWarehouses: "Warehouses", FeatureFunctions: "Functions", FeatureLabels: "Labels",
		FeatureAuditTrail: "Audit Trail",
	}
	for _, f := range Features() {
		for status, opts := range map[int][]Option{
			http.StatusBadRequest: {WithoutFeatures(f)},
			http.StatusNotFound:   {WithGateStatus(http.StatusNotFound), WithoutFeatures(f)},
		} {
			t.Run(fmt.Sprintf("%s/%d", f, status), func(t *testing.T) {
				t.Parallel()
				ws := Hostile()
				s := New(ws, opts...)
				w, open := newRawClient(t, s), newRawClient(t, New(ws))
				refused := 0
				for _, op := range Operations() {
					if !strings.Contains(op.Path, gated[f]) {
						equal(t, op.Name, open.send(t, op.Method, op.request(), "{}").Status, w.send(t, op.Method, op.request(), "{}").Status)
						continue
					}
					refused++
					a := w.want(t, status, op.Method, op.request(), "{}")
					want := fmt.Sprintf(`{"errors":[{"type":"bad-request","message":"Your plan does not include %s. Contact sales to upgrade to business tier."}]}`, says[f])
					equal(t, op.Name, want, string(a.Raw))
				}
				if (refused == 0) != (f == FeatureInsertTransformations) {
					t.Errorf("%d operations refused", refused)
				}
				equal(t, "state", ws, s.Workspace())
				w.sendAs(t, "wrong", http.MethodGet, "/groups", "")
				equal(t, "status without a token", http.StatusUnauthorized, s.Journal()[len(s.Journal())-1].Status)
			})
		}
	}
}

func TestWithoutFeatures_InsertTransformationsIsAnInvalidType(t *testing.T) {
	t.Parallel()
	w := newRawClient(t, New(Hostile(), WithoutFeatures(FeatureInsertTransformations)))
	for _, kind := range functionTypes() {
		status := http.StatusOK
		if kind == typeInsertTransformation {
			status = http.StatusUnprocessableEntity
		}
		a := w.want(t, status, http.MethodGet, "/functions?resourceType="+kind, "")
		if status == http.StatusOK {
			continue
		}
		equal(t, "type", "input-validation", a.Errors[0].Type)
		if !strings.HasSuffix(a.Errors[0].Message, "must be one of DESTINATION, INSERT_DESTINATION, INSERT_SOURCE, SOURCE") {
			t.Errorf("message: %s", a.Errors[0].Message)
		}
	}
}

func TestParseFeatures(t *testing.T) {
	t.Parallel()
	for list, want := range map[string][]Feature{
		"":                                      nil,
		"groups":                                {FeatureGroups},
		"spaces, labels,insert-transformations": {FeatureSpaces, FeatureLabels, FeatureInsertTransformations},
		joinFeatures(Features()):                Features(),
	} {
		got, err := ParseFeatures(list)
		if err != nil {
			t.Errorf("%q: %v", list, err)
		}
		equal(t, list, want, got)
	}
	for _, list := range []string{"Groups", "groups,", ",", "plans,groups", "groups spaces"} {
		_, err := ParseFeatures(list)
		if err == nil || !strings.Contains(err.Error(), "there are groups, spaces,") {
			t.Errorf("%q: error is %v", list, err)
		}
	}
}
