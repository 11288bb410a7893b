// Package contract checks HTTP traffic against the contract in api/openapi.yaml.
//
// Tests of the library and of the simulator put it between the two, so that the two cannot agree on something that the
// Segment Public API does not have.
package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/baton-segment/baton-segment/api"
)

// Operation is one operation of the contract.
type Operation struct {
	// ID is the operationId: the official client's method name with a lower-case first letter.
	ID string
	// Method is the HTTP method.
	Method string
	// Path is the path template, such as /users/{userId}.
	Path string
	// RateLimit is the documented number of requests per minute, 0 where none is documented.
	RateLimit int
}

// Values of [Error.In]: the part of a request or response that breaks the contract.
const (
	InMethod = "method"
	InPath   = "path"
	InQuery  = "query"
	InHeader = "header"
	InBody   = "body"
	InStatus = "status"
)

// Values of [Error.Rule] that are no schema keyword, and that several functions use.
const (
	ruleUnknown = "unknown"
	ruleSyntax  = "syntax"
)

// Error is one breach of the contract. It carries no value from a body or a header, because those may be secrets.
type Error struct {
	// Operation is the operationId, empty when the request matches none.
	Operation string
	// Status is the status of the response that breaches the contract, 0 for a request.
	Status int
	// In is one of the In constants.
	In string
	// Name is the parameter or header, or a JSON pointer into the body.
	Name string
	// Rule is the schema keyword that is broken, or one of: unknown, repeated, gap, empty, syntax, type, security.
	Rule string
	// Detail explains the breach to a reader.
	Detail string
}

// Error implements error.
func (e *Error) Error() string {
	side := "request"
	if e.Status != 0 {
		side = fmt.Sprintf("%d response", e.Status)
	}
	if e.Operation != "" {
		side = e.Operation + ": " + side
	}
	text := fmt.Sprintf("contract: %s: %s %q breaks %q", side, e.In, e.Name, e.Rule)
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Validator checks requests and responses against the contract. It is safe for concurrent use.
type Validator struct {
	router     routers.Router
	routes     map[string]*routers.Route
	operations []Operation
}

// New returns a validator of the contract that this module embeds.
func New() (*Validator, error) {
	return load(api.OpenAPI)
}

func load(spec []byte) (*Validator, error) {
	doc, err := openapi3.NewLoader().LoadFromData(spec)
	if err != nil {
		return nil, fmt.Errorf("contract: load: %w", err)
	}
	if err = doc.Validate(context.Background(), openapi3.EnableExamplesValidation()); err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	// Simulators listen on any host, so the servers must not take part in route finding.
	doc.Servers = nil
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		return nil, fmt.Errorf("contract: router: %w", err)
	}
	v := &Validator{router: router, routes: make(map[string]*routers.Route)}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			limit, err := rateLimit(operation)
			if err != nil {
				return nil, err
			}
			v.routes[operation.OperationID] = &routers.Route{
				Spec: doc, Path: path, PathItem: item, Method: method, Operation: operation,
			}
			v.operations = append(v.operations, Operation{
				ID: operation.OperationID, Method: method, Path: path, RateLimit: limit,
			})
		}
	}
	slices.SortFunc(v.operations, func(a, b Operation) int { return strings.Compare(a.ID, b.ID) })
	return v, nil
}

func rateLimit(operation *openapi3.Operation) (int, error) {
	value, ok := operation.Extensions["x-rate-limit-per-minute"]
	if !ok {
		return 0, nil
	}
	limit, err := strconv.Atoi(fmt.Sprint(value))
	if err != nil || limit <= 0 {
		return 0, fmt.Errorf("contract: %s: rate limit %v is not a positive number", operation.OperationID, value)
	}
	return limit, nil
}

// Operations returns every operation of the contract, sorted by ID.
func (v *Validator) Operations() []Operation {
	return slices.Clone(v.operations)
}

// Request checks a request, on the client's side or on the server's, and returns the operationId that it matches: also
// beside an error, as long as method and path match. A breach is an [*Error]; a body that cannot be read is another
// error. The body is read to its end and replaced by one that yields the same bytes and the same read error.
func (v *Validator) Request(r *http.Request) (string, error) {
	body, restored, err := replay(r.Body)
	r.Body = restored

	// An empty path is sent as "/", and only the server sees it that way.
	probe := &http.Request{Method: r.Method, URL: &url.URL{Path: "/"}, Header: r.Header}
	if r.URL != nil && r.URL.Path != "" {
		probe.URL = r.URL
	}
	if probe.Method == "" {
		probe.Method = http.MethodGet
	}
	route, params, routeErr := v.router.FindRoute(probe)
	if routeErr != nil {
		breach := &Error{In: InPath, Name: probe.URL.Path, Rule: ruleUnknown, Detail: probe.Method}
		if errors.Is(routeErr, routers.ErrMethodNotAllowed) {
			breach.In, breach.Name, breach.Detail = InMethod, probe.Method, probe.URL.Path
		}
		return "", breach
	}
	id := route.Operation.OperationID
	if err != nil {
		return id, fmt.Errorf("contract: %s: request body: %w", id, err)
	}

	rawQuery := ""
	if r.URL != nil {
		rawQuery = r.URL.RawQuery
	}
	query, breach := foldQuery(rawQuery, route.Operation.Parameters)
	if breach != nil {
		breach.Operation = id
		return id, breach
	}
	for name, value := range params {
		// The router matches the escaped path, so that an id with a slash in it stays one segment.
		if params[name], err = url.PathUnescape(value); err != nil {
			return id, &Error{Operation: id, In: InPath, Name: name, Rule: ruleSyntax}
		}
	}
	probe.Body = io.NopCloser(bytes.NewReader(body))
	probe.ContentLength = int64(len(body))
	input := &openapi3filter.RequestValidationInput{
		Request: probe, PathParams: params, QueryParams: query, Route: route, Options: options(),
	}
	if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
		return id, explain(&Error{Operation: id, In: InBody}, err)
	}
	if len(body) > 0 && !json.Valid(body) {
		return id, &Error{Operation: id, In: InBody, Rule: ruleSyntax, Detail: "data after the JSON value"}
	}
	return id, nil
}

// Response checks the response to a request that matched operationID. Every error is an [*Error].
func (v *Validator) Response(operationID string, status int, header http.Header, body []byte) error {
	breach := &Error{Operation: operationID, Status: status}
	route, ok := v.routes[operationID]
	if !ok {
		breach.In, breach.Rule = InPath, ruleUnknown
		return breach
	}
	declared := route.Operation.Responses.Status(status)
	if declared == nil {
		breach.In, breach.Rule = InStatus, ruleUnknown
		return breach
	}
	check := func(header http.Header, options *openapi3filter.Options) error {
		return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{
				Request: &http.Request{Method: route.Method}, Route: route,
			},
			Status: status, Header: header, Body: io.NopCloser(bytes.NewReader(body)), Options: options,
		})
	}
	// The headers are checked one by one, because the library does not report which of them is at fault. The contract
	// makes none mandatory.
	for _, name := range slices.Sorted(maps.Keys(declared.Value.Headers)) {
		values := header.Values(name)
		if len(values) == 0 {
			continue
		}
		single := http.Header{http.CanonicalHeaderKey(name): values}
		if err := check(single, &openapi3filter.Options{ExcludeResponseBody: true}); err != nil {
			breach.In, breach.Name = InHeader, name
			return explain(breach, err)
		}
	}
	breach.In = InBody
	if err := check(header, nil); err != nil {
		return explain(breach, err)
	}
	if !json.Valid(body) {
		breach.Rule, breach.Detail = ruleSyntax, "data after the JSON value"
		return breach
	}
	return nil
}

func options() *openapi3filter.Options {
	return &openapi3filter.Options{
		RejectWhenRequestBodyNotSpecified: true,
		SkipSettingDefaults:               true,
		AuthenticationFunc: func(_ context.Context, in *openapi3filter.AuthenticationInput) error {
			token, ok := strings.CutPrefix(in.RequestValidationInput.Request.Header.Get("Authorization"), "Bearer ")
			if !ok || token == "" {
				return errors.New("no bearer token")
			}
			return nil
		},
	}
}

// foldQuery returns the query with every dotted array (emails.0=a&emails.1=b) as one list. It refuses keys that the
// operation does not declare, repeated keys, and indexes that are not 0 to n-1.
func foldQuery(raw string, parameters openapi3.Parameters) (url.Values, *Error) {
	sent, err := url.ParseQuery(raw)
	if err != nil {
		return nil, &Error{In: InQuery, Rule: ruleSyntax, Detail: err.Error()}
	}
	folded := make(url.Values)
	for _, ref := range parameters {
		name := ref.Value.Name
		if ref.Value.In != openapi3.ParameterInQuery {
			continue
		}
		keys := []string{name}
		if ref.Value.Extensions["x-array-style"] == "dotted" {
			keys = nil
			for key := range sent {
				if n, ok := strings.CutPrefix(key, name+"."); ok && isIndex(n) {
					keys = append(keys, fmt.Sprintf("%s.%d", name, len(keys)))
				}
			}
		}
		for _, key := range keys {
			values, ok := sent[key]
			switch {
			case len(values) > 1:
				return nil, &Error{In: InQuery, Name: key, Rule: "repeated"}
			case !ok && key != name:
				return nil, &Error{In: InQuery, Name: key, Rule: "gap"}
			case ok:
				folded.Add(name, values[0])
				delete(sent, key)
			}
		}
	}
	if len(sent) > 0 {
		return nil, &Error{In: InQuery, Name: slices.Min(slices.Collect(maps.Keys(sent))), Rule: ruleUnknown}
	}
	return folded, nil
}

func isIndex(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && strconv.Itoa(n) == s
}

// explain completes a breach from an error of the validation library. That error quotes the value at fault; the breach
// must not.
func explain(breach *Error, err error) *Error {
	if securityErr := new(openapi3filter.SecurityRequirementsError); errors.As(err, &securityErr) {
		breach.In, breach.Name, breach.Rule = InHeader, "Authorization", "security"
		return breach
	}
	requestErr := new(openapi3filter.RequestError)
	if errors.As(err, &requestErr) {
		switch {
		case requestErr.Parameter != nil:
			breach.In, breach.Name = requestErr.Parameter.In, requestErr.Parameter.Name
		case requestErr.RequestBody == nil:
			breach.Rule = ruleUnknown
			return breach
		}
	}
	cause := errors.Unwrap(err)
	schemaErr := new(openapi3.SchemaError)
	switch {
	case cause == nil:
		breach.In, breach.Name, breach.Rule = InHeader, "Content-Type", ruleUnknown
	case errors.Is(cause, openapi3filter.ErrInvalidRequired):
		breach.Rule = "required"
	case errors.Is(cause, openapi3filter.ErrInvalidEmptyValue):
		breach.Rule = "empty"
	case errors.As(cause, &schemaErr):
		breach.Rule, breach.Detail = schemaErr.SchemaField, schemaErr.Reason
		if breach.In == InBody {
			breach.Name = pointer(schemaErr)
		}
	case breach.In == InBody:
		breach.Rule = ruleSyntax
	default:
		breach.Rule = "type"
	}
	return breach
}

// pointer returns the JSON pointer of the value at fault. If the schema lacks a property, the library points to the
// object, but pointer returns the property.
func pointer(err *openapi3.SchemaError) string {
	path := "/" + strings.Join(err.JSONPointer(), "/")
	object, ok := err.Value.(map[string]any)
	if !ok || err.SchemaField != "properties" {
		return path
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if _, known := err.Schema.Properties[name]; !known {
			return strings.TrimSuffix(path, "/") + "/" + name
		}
	}
	return path
}

// replay reads a body to its end and closes it. It returns the bytes, and a body that yields the same bytes and errors.
func replay(body io.ReadCloser) ([]byte, io.ReadCloser, error) {
	if body == nil || body == http.NoBody {
		return nil, body, nil
	}
	data, readErr := io.ReadAll(body)
	restored := &replayedBody{data: bytes.NewReader(data), readErr: readErr, closeErr: body.Close()}
	return data, restored, readErr
}

type replayedBody struct {
	data              *bytes.Reader
	readErr, closeErr error
}

// Read implements io.Reader.
func (b *replayedBody) Read(p []byte) (int, error) {
	n, err := b.data.Read(p)
	if errors.Is(err, io.EOF) && b.readErr != nil {
		err = b.readErr
	}
	return n, err
}

// Close implements io.Closer.
func (b *replayedBody) Close() error { return b.closeErr }
