package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"
)

// A reply is the result of a handler: a status and the value of "data".
type reply struct {
	status int
	data   any
}

func ok(data any) reply { return reply{http.StatusOK, data} }

// success is the answer of deletions.
func success() reply { return ok(map[string]string{"status": "SUCCESS"}) }

// A problem is one entry of Segment's error envelope.
type problem struct {
	Type    string `json:"type"`
	Message string `json:"message,omitempty"`
	Field   string `json:"field,omitempty"`
	Data    any    `json:"data,omitempty"`
	// Status is the answer's status, and part of its body unless bare.
	Status int `json:"status,omitempty"`
	// bare is set if the problem is documented without a status in the body.
	bare bool
}

func invalid(field, message string) *problem {
	return &problem{
		Type:    "input-validation",
		Message: fmt.Sprintf("%q %s", field, message),
		Field:   field,
		Data:    struct{}{},
		Status:  http.StatusUnprocessableEntity,
	}
}

func notFound(what, id string) *problem {
	return &problem{Type: "not-found", Message: fmt.Sprintf("%s %q not found", what, id), Status: http.StatusNotFound}
}

func conflict(message string) *problem {
	return &problem{Type: "conflict", Message: message, Status: http.StatusConflict}
}

func unauthorized() *problem {
	return &problem{Type: "unauthorized", Message: "The token is missing or not valid", Status: http.StatusUnauthorized}
}

// An answer is a response as it is sent.
type answer struct {
	status   int
	header   http.Header
	body     []byte
	breakAt  breakPoint
	delivery delivery
	// altered is set if the answer is one that no document allows.
	altered bool
}

// A breakPoint is where the connection breaks. It does not if the value is zero.
type breakPoint int

const (
	// breakBeforeAnswer is before the first byte of the answer.
	breakBeforeAnswer breakPoint = iota + 1
	// breakInBody is after half of the body.
	breakInBody
)

// A delivery is how the body is sent.
type delivery int

const (
	deliverAtOnce delivery = iota
	// deliverSlowly sends a byte a second.
	deliverSlowly
	// deliverEndlessly sends spaces after the body, which JSON allows, without end.
	deliverEndlessly
)

// length returns the Content-Length, or -1 for none.
func (a *answer) length() int64 {
	switch {
	case a.bodiless():
		return 0
	case a.delivery == deliverEndlessly:
		return -1
	default:
		return int64(len(a.body))
	}
}

// reader returns a reader of the part of the body that arrives. It fails when ctx ends.
func (a *answer) reader(ctx context.Context) io.Reader {
	sent := bytes.NewReader(a.sent())
	switch a.delivery {
	case deliverSlowly:
		return slowReader{ctx, sent}
	case deliverEndlessly:
		return io.MultiReader(sent, spaces{ctx})
	default:
		return sent
	}
}

type slowReader struct {
	ctx context.Context
	all *bytes.Reader
}

func (s slowReader) Read(p []byte) (int, error) {
	if s.all.Len() == 0 {
		return 0, io.EOF
	}
	if err := sleep(s.ctx, time.Second); err != nil {
		return 0, err
	}
	return s.all.Read(p[:min(len(p), 1)])
}

type spaces struct{ ctx context.Context }

func (s spaces) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// sent returns the part of the body that arrives.
func (a *answer) sent() []byte {
	switch {
	case a.bodiless():
		return nil
	case a.breakAt == breakInBody:
		return a.body[:len(a.body)/2]
	default:
		return a.body
	}
}

// bodiless reports whether HTTP allows no body with this status.
func (a *answer) bodiless() bool {
	return a.status == http.StatusNoContent || a.status == http.StatusNotModified
}

func jsonAnswer(status int, v any) *answer {
	body, err := json.Marshal(v)
	if err != nil {
		// Only settings have values that are not ours. They may be of any type.
		body = []byte(`{"errors":[{"type":"internal","message":"the simulated state does not encode as JSON"}]}`)
		status = http.StatusInternalServerError
	}
	return &answer{status: status, header: http.Header{"Content-Type": {"application/json"}}, body: body}
}

func envelope(p *problem) *answer {
	shown := *p
	if p.bare {
		shown.Status = 0
	}
	return jsonAnswer(p.Status, map[string]any{"errors": []problem{shown}})
}

// The following types are rows as Segment sends them.

type wireUser struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	Email       string            `json:"email"`
	Permissions *[]wirePermission `json:"permissions,omitempty"`
}

type wireGroup struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	MemberCount int               `json:"memberCount"`
	Permissions *[]wirePermission `json:"permissions,omitempty"`
}

type wireMinimalGroup struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type wirePermission struct {
	PolicyID    string         `json:"policyId,omitempty"`
	RoleID      string         `json:"roleId"`
	RoleName    string         `json:"roleName"`
	SubjectID   string         `json:"subjectId,omitempty"`
	SubjectType string         `json:"subjectType,omitempty"`
	Resources   []wireResource `json:"resources"`
	// extra are fields that no document has.
	extra map[string]any
}

// MarshalJSON implements json.Marshaler.
func (w wirePermission) MarshalJSON() ([]byte, error) {
	type plain wirePermission
	return withFields(plain(w), w.extra)
}

type wireResource struct {
	ID     string          `json:"id"`
	Type   string          `json:"type"`
	Labels []wireHeldLabel `json:"labels"`
	extra  map[string]any
}

// MarshalJSON implements json.Marshaler.
func (w wireResource) MarshalJSON() ([]byte, error) {
	type plain wireResource
	return withFields(plain(w), w.extra)
}

// A wireHeldLabel is a label of a permission.
type wireHeldLabel struct {
	wireLabel
	extra map[string]any
}

// MarshalJSON implements json.Marshaler.
func (w wireHeldLabel) MarshalJSON() ([]byte, error) { return withFields(w.wireLabel, w.extra) }

// withFields encodes an object with more fields.
func withFields(object any, fields map[string]any) ([]byte, error) {
	encoded, err := json.Marshal(object)
	if err != nil || len(fields) == 0 {
		return encoded, err
	}
	all := map[string]any{}
	if err := json.Unmarshal(encoded, &all); err != nil {
		return nil, err
	}
	maps.Copy(all, fields)
	return json.Marshal(all)
}

type wireLabel struct {
	Key         string `json:"key"`
	Value       string `json:"value"`
	Description string `json:"description,omitempty"`
}

type wireLogos struct {
	Default string `json:"default"`
}

type wireWarehouseMetadata struct {
	ID          string    `json:"id"`
	Slug        string    `json:"slug"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Logos       wireLogos `json:"logos"`
	Options     []any     `json:"options"`
}

type wireSourceMetadata struct {
	wireWarehouseMetadata
	Categories         []string `json:"categories"`
	IsCloudEventSource bool     `json:"isCloudEventSource"`
	Status             string   `json:"status"`
}

type wireSource struct {
	ID          string             `json:"id"`
	Slug        string             `json:"slug"`
	Name        *string            `json:"name,omitempty"`
	WorkspaceID string             `json:"workspaceId"`
	Enabled     bool               `json:"enabled"`
	WriteKeys   []string           `json:"writeKeys"`
	Metadata    wireSourceMetadata `json:"metadata"`
	Settings    map[string]any     `json:"settings"`
	Labels      []wireLabel        `json:"labels"`
}

type wireWarehouse struct {
	ID          string                `json:"id"`
	WorkspaceID string                `json:"workspaceId"`
	Enabled     bool                  `json:"enabled"`
	Metadata    wireWarehouseMetadata `json:"metadata"`
	Settings    map[string]any        `json:"settings"`
}

type wireFunction struct {
	ID           string  `json:"id"`
	DisplayName  *string `json:"displayName,omitempty"`
	Description  string  `json:"description"`
	LogoURL      string  `json:"logoUrl"`
	CreatedAt    string  `json:"createdAt"`
	CreatedBy    string  `json:"createdBy"`
	CatalogID    string  `json:"catalogId"`
	ResourceType string  `json:"resourceType"`
}

// wireFunctionDetail carries what only the detail of a function has.
type wireFunctionDetail struct {
	wireFunction
	Code              string            `json:"code"`
	Settings          []FunctionSetting `json:"settings"`
	PreviewWebhookURL string            `json:"previewWebhookUrl"`
	BatchMaxCount     int               `json:"batchMaxCount"`
	DeployedAt        *string           `json:"deployedAt"`
	IsLatestVersion   bool              `json:"isLatestVersion"`
}
