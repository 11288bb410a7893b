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
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
	segment "github.com/segmentio/public-api-sdk-go/api"

	"github.com/baton-segment/baton-segment/api"
)

// scope lists the operations that the contract must have. It must have no others.
var scope = strings.Fields(`
	getWorkspace listUsers getUser listUserGroupsFromUser addPermissionsToUser replacePermissionsForUser deleteUsers
	listInvites createInvites deleteInvites listUserGroups createUserGroup getUserGroup updateUserGroup deleteUserGroup
	listUsersFromUserGroup addUsersToUserGroup replaceUsersInUserGroup removeUsersFromUserGroup listInvitesFromUserGroup
	addPermissionsToUserGroup replacePermissionsForUserGroup listRoles listSources getSource listWarehouses getWarehouse
	listFunctions getFunction listSpaces getSpace listLabels createLabel deleteLabel listAuditEvents`)

// TestOfficialClient calls every operation of the contract with the official client.
func TestOfficialClient(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
	var ids []string
	for _, op := range v.Operations() {
		ids = append(ids, op.ID)
		t.Run(op.ID, func(t *testing.T) {
			t.Parallel()
			for _, problem := range disagreements(t.Context(), v, op) {
				t.Error(problem)
			}
		})
	}
	want := slices.Sorted(slices.Values(scope))
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("operations (-want +contract):\n%s", diff)
	}
}

// TestOfficialClient_FindsUnfoundedEdits edits the contract without evidence. The official client must contradict each
// edit.
func TestOfficialClient_FindsUnfoundedEdits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		operation string
		edit      []string // Pairs of old and new text.
		want      string
	}{
		{
			name: "plural path for the removal of members", operation: "removeUsersFromUserGroup",
			edit: []string{
				"/group/{userGroupId}/users:", "/groups/{userGroupId}/users:",
				"/groups/{userGroupId}/users:", "/group/{userGroupId}/users:",
			},
			want: `method "DELETE" breaks "unknown": /group/`,
		},
		{
			name: "other method", operation: "updateUserGroup",
			edit: []string{"    patch:\n", "    put:\n"},
			want: `method "PATCH" breaks "unknown"`,
		},
		{
			name: "operation", operation: "getSpaceMembers",
			edit: []string{"operationId: getSpace\n", "operationId: getSpaceMembers\n"},
			want: "the official client has no SpacesAPI.GetSpaceMembers",
		},
		{
			name: "query parameter", operation: "listFunctions",
			edit: []string{"- {name: resourceType,", "- {name: filter, in: query, schema: {type: string}}\n        - {name: resourceType,"},
			want: `the official client cannot send "filter"`,
		},
		{
			name: "pagination parameter", operation: "listRoles",
			edit: []string{"DottedCursor: {name: pagination.cursor,", "DottedCursor: {name: pagination.offset,"},
			want: `the official client cannot send "pagination.offset"`,
		},
		{
			name: "smaller page", operation: "listUsers",
			edit: []string{"maximum: 1000", "maximum: 200"},
			want: `query "pagination[count]" breaks "maximum"`,
		},
		{
			name: "array as repeated keys", operation: "deleteUsers",
			edit: []string{"x-array-style: dotted, ", ""},
			want: `query "userIds.0" breaks "unknown"`,
		},
		{
			name: "narrower path id", operation: "getUser",
			edit: []string{"PathId: {type: string,", "PathId: {type: string, pattern: \"^[A-Za-z0-9]+$\","},
			want: `path "userId" breaks "pattern"`,
		},
		{
			name: "optional response field", operation: "listAuditEvents",
			edit: []string{"required: [id, timestamp, type,", "required: [id, timestamp,"},
			want: "/data/events/0/type: required is false here and true in the official client",
		},
		{
			name: "optional query parameter", operation: "listAuditEvents",
			edit: []string{"resourceId, in: query,", "resourceIds, in: query,"},
			want: `the official client cannot send "resourceIds"`,
		},
		{
			name: "date without an offset", operation: "listAuditEvents",
			edit: []string{"      format: date-time\n", "      format: date\n"},
			want: `query "startTime" breaks`,
		},
		{
			name: "other status of success", operation: "createInvites",
			edit: []string{`"201":`, `"200":`},
			want: "CreateInvites200Response is not the official client's CreateInvites201Response",
		},
		{
			name: "response field", operation: "getUser",
			edit: []string{
				"email: {type: string}\n        permissions:", "email: {type: string}\n        mfaEnabled: {type: boolean}\n        permissions:",
			},
			want: "/data/user/mfaEnabled: not in the official client's UserV1",
		},
		{
			name: "response field by another name", operation: "getUserGroup",
			edit: []string{"userGroup: {", "group: {", "required: [userGroup]", "required: [group]"},
			want: "/data/group: not in the official client's GetUserGroupV1Output",
		},
		{
			name: "response field that always comes", operation: "listFunctions",
			edit: []string{"    FunctionItem:\n", "    FunctionItem:\n      required: [id]\n"},
			want: "/data/functions/0/id: required is true here and false in the official client",
		},
		{
			name: "response field that is null", operation: "getWorkspace",
			edit: []string{"slug: {type: string}", "slug: {type: string, nullable: true}"},
			want: "/data/workspace/slug: null does not fit the official client's string",
		},
		{
			name: "response field of another type", operation: "listSources",
			edit: []string{"partnerOwned: {type: boolean}", "partnerOwned: {type: string}"},
			want: "/data/sources/0/metadata/partnerOwned: string does not fit the official client's bool",
		},
		{
			name: "request field", operation: "createUserGroup",
			edit: []string{"name: {type: string}\n    EmailsInput:", "name: {type: string}\n        description: {type: string}\n    EmailsInput:"},
			want: "/description: not in the official client's CreateUserGroupV1Input",
		},
		{
			name: "optional request field", operation: "addPermissionsToUser",
			edit: []string{"required: [roleId, resources]", "required: [roleId]"},
			want: "/permissions/0/resources: required is false here and true in the official client",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			spec := strings.NewReplacer(tt.edit...).Replace(string(api.OpenAPI))
			if spec == string(api.OpenAPI) {
				t.Fatal("the edit found nothing to replace")
			}
			v, err := load([]byte(spec))
			if err != nil {
				t.Fatal(err)
			}
			at := slices.IndexFunc(v.operations, func(op Operation) bool { return op.ID == tt.operation })
			if at < 0 {
				t.Fatalf("no operation %s", tt.operation)
			}
			got := errors.Join(disagreements(t.Context(), v, v.operations[at])...)
			if got == nil || !strings.Contains(got.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", got, tt.want)
			}
		})
	}
}

func newValidator(t *testing.T) *Validator {
	t.Helper()
	v, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// call is one request of an operation and its response.
type call struct {
	params map[string]string        // By name of the path parameter.
	query  map[string]any           // By name of the query parameter: a string or a list of strings.
	page   *segment.PaginationInput // Nil for none.
	input  any                      // The body, as decoded JSON. Nil for none.
	status int                      // The status of the response.
	output any                      // The response, as decoded JSON.
}

// disagreements returns the differences between official client and contract in one operation.
func disagreements(ctx context.Context, v *Validator, op Operation) []error {
	var problems []error
	builder, err := newBuilder(v.routes[op.ID].Operation, op)
	if err != nil {
		return []error{err}
	}
	problems = append(problems, builder.compare()...)
	for i, c := range calls(v.routes[op.ID].Operation) {
		for _, problem := range builder.exchange(ctx, v, c) {
			problems = append(problems, fmt.Errorf("call %d: %w", i, problem))
		}
	}
	return problems
}

// builder makes and reads one operation of the official client, by reflection.
type builder struct {
	op     Operation
	spec   *openapi3.Operation
	method reflect.Method            // func(service, ctx, path parameters...) request.
	setter map[string]reflect.Method // By name in the contract; "pagination" and "body" are the two that have none.
}

func newBuilder(spec *openapi3.Operation, op Operation) (*builder, error) {
	title := strings.ToUpper(op.ID[:1]) + op.ID[1:]
	service := strings.ReplaceAll(strings.Join(spec.Tags, ""), " ", "") + "API"
	field, ok := reflect.TypeFor[segment.APIClient]().FieldByName(service)
	if !ok {
		return nil, fmt.Errorf("the official client has no %s", service)
	}
	method, ok := field.Type.MethodByName(title)
	if !ok {
		return nil, fmt.Errorf("the official client has no %s.%s", service, title)
	}
	b := &builder{op: op, spec: spec, method: method, setter: make(map[string]reflect.Method)}
	request := method.Type.Out(0)
	unused := make(map[string]bool)
	for i := range request.NumMethod() {
		unused[request.Method(i).Name] = true
	}
	use := func(name, setter string) error {
		if b.setter[name], ok = request.MethodByName(setter); !ok {
			return fmt.Errorf("the official client cannot send %q", name)
		}
		delete(unused, setter)
		return nil
	}
	delete(unused, "Execute")
	for _, ref := range spec.Parameters {
		name := ref.Value.Name
		if ref.Value.In != openapi3.ParameterInQuery {
			continue
		}
		setter := strings.ToUpper(name[:1]) + name[1:]
		if isPagination(name) {
			name, setter = "pagination", "Pagination"
		}
		if err := use(name, setter); err != nil {
			return nil, err
		}
	}
	if spec.RequestBody != nil {
		if err := use("body", title+"V1Input"); err != nil {
			return nil, err
		}
	}
	for name := range unused {
		return nil, fmt.Errorf("the contract lacks the official client's %s.%s", request.Name(), name)
	}
	return b, nil
}

// isPagination reports whether name is a field of the client's PaginationInput, in the client's spelling or in that of
// the documentation.
func isPagination(name string) bool {
	return slices.Contains([]string{"pagination[count]", "pagination[cursor]", "pagination.count", "pagination.cursor"}, name)
}

// calls returns the calls to make of an operation: every example of a request and of a response, and each parameter
// by itself with values at its limits and with values that must be escaped.
func calls(spec *openapi3.Operation) []call {
	var all []call
	plain := func() call {
		c := call{params: make(map[string]string), query: make(map[string]any)}
		for _, ref := range spec.Parameters {
			switch name := ref.Value.Name; {
			case isPagination(name):
			case ref.Value.In == openapi3.ParameterInPath:
				c.params[name] = "some-" + name
			case ref.Value.Schema.Value.Type.Is("array"):
				c.query[name] = []string{"foo@example.com"}
			case ref.Value.Required:
				c.query[name] = ref.Value.Schema.Value.Enum[0]
			}
		}
		if spec.RequestBody != nil {
			c.input = examples(spec.RequestBody.Value.Content)[0]
		}
		for _, status := range []int{http.StatusOK, http.StatusCreated} {
			if ref := spec.Responses.Value(strconv.Itoa(status)); ref != nil {
				c.status, c.output = status, examples(ref.Value.Content)[0]
			}
		}
		return c
	}
	add := func(change func(*call)) {
		c := plain()
		change(&c)
		all = append(all, c)
	}
	for code, ref := range spec.Responses.Map() {
		status, err := strconv.Atoi(strings.ReplaceAll(code, "XX", "03"))
		if err != nil {
			panic(err)
		}
		for _, output := range examples(ref.Value.Content) {
			add(func(c *call) { c.status, c.output = status, output })
		}
	}
	if spec.RequestBody != nil {
		for _, input := range examples(spec.RequestBody.Value.Content) {
			add(func(c *call) { c.input = input })
		}
	}
	for _, ref := range spec.Parameters {
		for _, change := range parameterChanges(ref.Value) {
			add(change)
		}
	}
	return all
}

// parameterChanges returns changes of a call that each give a parameter another value.
func parameterChanges(p *openapi3.Parameter) []func(*call) {
	var changes []func(*call)
	name := p.Name
	switch schema := p.Schema.Value; {
	case name == "pagination[count]":
		for _, count := range []int32{1, 200, 1000} {
			changes = append(changes, func(c *call) { c.page = &segment.PaginationInput{Count: count} })
		}
	case name == "pagination[cursor]":
		for _, cursor := range []string{"Mw==", "a b&c=d[0]+é#/?%"} {
			changes = append(changes, func(c *call) { c.page = &segment.PaginationInput{Count: 7, Cursor: &cursor} })
		}
	case p.In == openapi3.ParameterInPath:
		for _, id := range []string{"x", "a/b c?d#é%", "a+b&c=d;e:f@g", "日本語", "..%2F", strings.Repeat("x", 255), strings.Repeat("é", 255)} {
			changes = append(changes, func(c *call) { c.params[name] = id })
		}
	case schema.Type.Is("array"):
		dozen := make([]string, 12)
		for i := range dozen {
			dozen[i] = fmt.Sprintf("user+%d@example.com", i)
		}
		for _, list := range [][]string{dozen, {"a b", "x=y&z@example.com", "é@例え.jp", "a.b@example.com"}} {
			changes = append(changes, func(c *call) { c.query[name] = list })
		}
	case !isPagination(name):
		for _, value := range values(schema) {
			changes = append(changes, func(c *call) { c.query[name] = value })
		}
	}
	return changes
}

// values returns values of a string: all that there are, or some if it may be any string.
func values(schema *openapi3.Schema) []any {
	switch {
	case len(schema.Enum) > 0:
		return schema.Enum
	case schema.Format == "date-time":
		return []any{"2025-01-01T00:00:00Z", "2025-01-02T00:00:00+02:00", "2025-01-14T15:04:05.123Z"}
	default:
		return []any{"USER", "a b&c=d[0]+é#/?%"}
	}
}

// examples returns the values of all JSON examples, in the order of their names.
func examples(content openapi3.Content) []any {
	named := content.Get("application/json").Examples
	var values []any
	for _, name := range slices.Sorted(maps.Keys(named)) {
		values = append(values, named[name].Value.Value)
	}
	return values
}

// exchange makes one call with the official client and returns the errors of request and response.
func (b *builder) exchange(ctx context.Context, v *Validator, c call) []error {
	var (
		mu       sync.Mutex
		problems []error
	)
	report := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		problems = append(problems, err)
	}
	output, err := json.Marshal(c.output)
	if err != nil {
		return []error{err}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, problem := range b.checkRequest(v, c, r) {
			report(problem)
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(c.status)
		if _, writeErr := w.Write(output); writeErr != nil {
			report(writeErr)
		}
	}))

	config := segment.NewConfiguration()
	config.Servers = segment.ServerConfigurations{{URL: server.URL}}
	config.HTTPClient = &http.Client{Transport: v.RoundTripper(server.Client().Transport, report)}
	ctx = context.WithValue(ctx, segment.ContextAccessToken, "fake-token")
	out, err := b.execute(ctx, segment.NewAPIClient(config), c)
	server.Close() // It waits for the handler, which may still report.
	if c.status >= http.StatusBadRequest {
		return append(problems, checkError(c, err)...)
	}
	if err != nil {
		return append(problems, fmt.Errorf("official client: %w", err))
	}
	// If the value that the official client decoded is encoded again, it has all that was sent.
	encoded, err := json.Marshal(out)
	if err != nil {
		return append(problems, err)
	}
	var read any
	if err := json.Unmarshal(encoded, &read); err != nil {
		return append(problems, err)
	}
	schema := jsonSchema(b.spec.Responses.Status(c.status).Value.Content)
	return append(problems, missing("", normal(c.output), read, schema)...)
}

// execute sends the request and returns the decoded response.
func (b *builder) execute(ctx context.Context, client *segment.APIClient, c call) (any, error) {
	service := reflect.ValueOf(client).Elem().FieldByName(strings.ReplaceAll(b.spec.Tags[0], " ", "") + "API")
	args := []reflect.Value{service, reflect.ValueOf(ctx)}
	for _, name := range pathParameters(b.op.Path) {
		args = append(args, reflect.ValueOf(c.params[name]))
	}
	request := b.method.Func.Call(args)[0]
	set := func(name string, value reflect.Value) {
		request = b.setter[name].Func.Call([]reflect.Value{request, value})[0]
	}
	for name, value := range c.query {
		set(name, reflect.ValueOf(value))
	}
	if c.page != nil {
		set("pagination", reflect.ValueOf(*c.page))
	}
	if c.input != nil {
		encoded, err := json.Marshal(c.input)
		if err != nil {
			return nil, err
		}
		body := reflect.New(b.setter["body"].Type.In(1))
		decoder := json.NewDecoder(bytes.NewReader(encoded))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(body.Interface()); err != nil {
			return nil, err
		}
		set("body", body.Elem())
	}
	results := request.MethodByName("Execute").Call(nil)
	if err, ok := results[2].Interface().(error); ok {
		return nil, err
	}
	return results[0].Interface(), nil
}

func pathParameters(path string) []string {
	var names []string
	for _, match := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
		names = append(names, match[1])
	}
	return names
}

// checkRequest compares a request that the server received with the contract and with the call.
func (b *builder) checkRequest(v *Validator, c call, r *http.Request) []error {
	var problems []error
	switch operation, err := v.Request(r); {
	case err != nil:
		problems = append(problems, err)
	case operation != b.op.ID:
		problems = append(problems, fmt.Errorf("%s %s is %s", r.Method, r.URL, operation))
	}
	path := b.op.Path
	for name, value := range c.params {
		path = strings.Replace(path, "{"+name+"}", url.PathEscape(value), 1)
	}
	if r.URL.EscapedPath() != path {
		problems = append(problems, fmt.Errorf("path %s, want %s", r.URL.EscapedPath(), path))
	}
	query := make(url.Values)
	for name, value := range c.query {
		if list, ok := value.([]string); ok {
			for i, element := range list {
				query.Set(fmt.Sprintf("%s.%d", name, i), element)
			}
			continue
		}
		query.Set(name, fmt.Sprint(value))
	}
	if c.page != nil {
		query.Set("pagination[count]", strconv.Itoa(int(c.page.Count)))
		if c.page.Cursor != nil {
			query.Set("pagination[cursor]", *c.page.Cursor)
		}
	}
	if diff := cmp.Diff(query, r.URL.Query()); diff != "" {
		problems = append(problems, fmt.Errorf("query (-want +sent):\n%s", diff))
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return append(problems, err)
	}
	if c.input == nil {
		if len(body) > 0 {
			problems = append(problems, fmt.Errorf("body %q, want none", body))
		}
		return problems
	}
	var sent any
	if err := json.Unmarshal(body, &sent); err != nil {
		return append(problems, err)
	}
	if diff := cmp.Diff(normal(c.input), sent); diff != "" {
		problems = append(problems, fmt.Errorf("body (-want +sent):\n%s", diff))
	}
	return problems
}

// checkError requires an error of the official client, decoded if the client decodes errors with this status.
func checkError(c call, err error) []error {
	if err == nil {
		return []error{fmt.Errorf("official client: no error for %d", c.status)}
	}
	switch c.status {
	case http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusTooManyRequests:
	default:
		return nil
	}
	full := segment.UnwrapFullErrors(err)
	if full == nil {
		return []error{fmt.Errorf("official client did not decode %d: %w", c.status, err)}
	}
	encoded, err := json.Marshal(full)
	if err != nil {
		return []error{err}
	}
	var read any
	if err := json.Unmarshal(encoded, &read); err != nil {
		return []error{err}
	}
	if diff := cmp.Diff(normal(c.output), read); diff != "" {
		return []error{fmt.Errorf("error (-want +read):\n%s", diff)}
	}
	return nil
}

// normal returns decoded YAML as if it had been decoded from JSON.
func normal(value any) any {
	encoded, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	var decoded any
	if err := json.Unmarshal(encoded, &decoded); err != nil {
		panic(err)
	}
	return decoded
}
