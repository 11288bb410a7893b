package sim

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

func listRoles(c *call) (reply, *problem) {
	l := listing[Role]{rows: c.state.Roles, withoutTotal: true}
	return page(c, "roles", l, func(r Role) map[string]string {
		return map[string]string{"id": r.ID, "name": r.Name, "description": r.Description}
	})
}

func listSources(c *call) (reply, *problem) {
	return page(c, "sources", listing[Source]{rows: c.state.Sources}, c.source)
}

func getSource(c *call) (reply, *problem) {
	s, p := find(c, "source", c.state.Sources, c.index().sources)
	if p != nil {
		return reply{}, p
	}
	return ok(map[string]any{"source": c.source(s), "trackingPlanId": nil}), nil
}

func (c *call) source(s Source) wireSource {
	return wireSource{
		ID:          s.ID,
		Slug:        s.Slug,
		Name:        s.Name,
		WorkspaceID: c.state.ID,
		Enabled:     s.Enabled,
		WriteKeys:   append([]string{}, s.WriteKeys...),
		Metadata: wireSourceMetadata{
			wireWarehouseMetadata: metadata(s.Metadata),
			Categories:            []string{},
			Status:                "PUBLIC",
		},
		Settings: settings(s.Settings),
		Labels:   wireLabels(s.Labels),
	}
}

func listWarehouses(c *call) (reply, *problem) {
	return page(c, "warehouses", listing[Warehouse]{rows: c.state.Warehouses}, c.warehouse)
}

func getWarehouse(c *call) (reply, *problem) {
	h, p := find(c, "warehouse", c.state.Warehouses, c.index().warehouses)
	if p != nil {
		return reply{}, p
	}
	return ok(map[string]any{"warehouse": c.warehouse(h)}), nil
}

func (c *call) warehouse(h Warehouse) wireWarehouse {
	return wireWarehouse{
		ID:          h.ID,
		WorkspaceID: c.state.ID,
		Enabled:     h.Enabled,
		Metadata:    metadata(h.Metadata),
		Settings:    settings(h.Settings),
	}
}

func metadata(m Metadata) wireWarehouseMetadata {
	return wireWarehouseMetadata{
		ID:      m.ID,
		Slug:    m.Slug,
		Name:    m.Name,
		Logos:   wireLogos{Default: "https://logos.example.com/" + m.Slug + ".svg"},
		Options: []any{},
	}
}

func settings(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// typeInsertTransformation is the type of functions that API 62.0.6 added.
const typeInsertTransformation = "INSERT_TRANSFORMATION"

// functionTypes are the values of resourceType in API 57.3.0, and the one that came
// later.
func functionTypes() []string {
	return []string{"DESTINATION", "INSERT_DESTINATION", "INSERT_SOURCE", typeInsertTransformation, "SOURCE"}
}

func listFunctions(c *call) (reply, *problem) {
	kind := c.query.Get("resourceType")
	known := functionTypes()
	if slices.Contains(c.without, FeatureInsertTransformations) {
		known = slices.DeleteFunc(known, func(k string) bool { return k == typeInsertTransformation })
	}
	if !slices.Contains(known, kind) {
		return reply{}, invalid("resourceType", "must be one of "+strings.Join(known, ", "))
	}
	l := listing[int]{rows: c.index().functionsOf[kind], numbering: numbering{first: 1}, withoutTotal: true}
	return page(c, "functions", l, func(i int) wireFunction { return c.function(c.state.Functions[i]) })
}

func getFunction(c *call) (reply, *problem) {
	f, p := find(c, "function", c.state.Functions, c.index().functions)
	if p != nil {
		return reply{}, p
	}
	return ok(map[string]any{"function": wireFunctionDetail{
		wireFunction:    c.function(f),
		Code:            f.Code,
		Settings:        append([]FunctionSetting{}, f.Settings...),
		IsLatestVersion: true,
	}}), nil
}

func (c *call) function(f Function) wireFunction {
	_, catalogID, _ := strings.Cut(f.ID, "_")
	w := wireFunction{
		ID:           f.ID,
		DisplayName:  c.functionName(f),
		Description:  f.Description,
		LogoURL:      "https://logos.example.com/function.svg",
		CreatedAt:    "2006-01-02T15:04:05.000Z",
		CatalogID:    catalogID,
		ResourceType: f.ResourceType,
	}
	if len(c.state.Users) > 0 {
		w.CreatedBy = c.state.Users[0].ID
	}
	return w
}

// functionName returns a display name with the workspace's in parentheses after it, for
// the types of functions to which Segment appends that. Segment's provider for Terraform
// ignores the difference for these three types, and a test of it shows the form
// (function_resource.go, function_resource_test.go). It is an assumption that an empty
// name gets it as well.
func (c *call) functionName(f Function) *string {
	switch f.ResourceType {
	case "DESTINATION", "INSERT_DESTINATION", "INSERT_SOURCE":
		if f.DisplayName != nil {
			name := *f.DisplayName + " (" + c.state.Name + ")"
			return &name
		}
	}
	return f.DisplayName
}

func listSpaces(c *call) (reply, *problem) {
	return page(c, "spaces", listing[Space]{rows: c.state.Spaces}, func(s Space) Space { return s })
}

func getSpace(c *call) (reply, *problem) {
	s, p := find(c, "space", c.state.Spaces, c.index().spaces)
	if p != nil {
		return reply{}, p
	}
	return ok(map[string]any{"space": s}), nil
}

// listLabels has no pages.
func listLabels(c *call) (reply, *problem) {
	return ok(map[string]any{"labels": wireLabels(c.state.Labels)}), nil
}

type labelInput struct {
	Label wireLabel `json:"label"`
}

// labelPart matches keys and values. The documentation allows letters, digits and
// hyphens; real workspaces have underscores as well.
var labelPart = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)

// createLabel answers 409 if the label exists: an assumption.
func createLabel(c *call) (reply, *problem) {
	var in labelInput
	if p := c.decode(&in); p != nil {
		return reply{}, p
	}
	const rule = "must begin with a letter and have only letters, digits and hyphens"
	if !labelPart.MatchString(in.Label.Key) {
		return reply{}, invalid("label.key", rule)
	}
	if !labelPart.MatchString(in.Label.Value) {
		return reply{}, invalid("label.value", rule)
	}
	if slices.ContainsFunc(c.state.Labels, func(l Label) bool { return l.Key == in.Label.Key && l.Value == in.Label.Value }) {
		return reply{}, conflict("The label exists")
	}
	c.state.Labels = append(c.state.Labels, Label(in.Label))
	c.record(auditLabelCreated, auditedLabel(Label(in.Label)))
	return reply{http.StatusCreated, map[string]any{"label": in.Label}}, nil
}

// deleteLabel refuses a label that a source or a permission carries. The refusal is
// documented, its status 422 is an assumption.
func deleteLabel(c *call) (reply, *problem) {
	key, value := c.arg("key"), c.arg("value")
	same := func(l Label) bool { return l.Key == key && l.Value == value }
	i := slices.IndexFunc(c.state.Labels, same)
	if i < 0 {
		return reply{}, notFound("label", key+"="+value)
	}
	if c.state.carries(same) {
		return reply{}, invalid("label", "is in use")
	}
	c.record(auditLabelDeleted, auditedLabel(c.state.Labels[i]))
	c.state.Labels = slices.Delete(c.state.Labels, i, i+1)
	return success(), nil
}

// carries reports whether any source or permission carries the label.
func (w *Workspace) carries(label func(Label) bool) bool {
	permission := func(p Permission) bool {
		return slices.ContainsFunc(p.Resources, func(r Resource) bool { return slices.ContainsFunc(r.Labels, label) })
	}
	return slices.ContainsFunc(w.Sources, func(s Source) bool { return slices.ContainsFunc(s.Labels, label) }) ||
		slices.ContainsFunc(w.Users, func(u User) bool { return slices.ContainsFunc(u.Permissions, permission) }) ||
		slices.ContainsFunc(w.Groups, func(g Group) bool { return slices.ContainsFunc(g.Permissions, permission) }) ||
		slices.ContainsFunc(w.Invites, func(i Invite) bool { return slices.ContainsFunc(i.Permissions, permission) })
}

// find returns the row that the path names.
func find[T any](c *call, what string, rows []T, at map[string]int) (T, *problem) {
	i, there := at[c.arg("id")]
	if !there {
		var none T
		return none, notFound(what, c.arg("id"))
	}
	return rows[i], nil
}
