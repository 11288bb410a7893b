package doctor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/public-api-sdk-go/api"
)

// endpoints are those whose answers are compared with what the official client knows. A
// name in braces stands for any id.
var endpoints = []struct { //nolint:gochecknoglobals // Constant.
	path   string
	answer reflect.Type
}{
	{"/", reflect.TypeFor[api.GetWorkspace200Response]()},
	{"/users", reflect.TypeFor[api.ListUsers200Response]()},
	{"/users/{id}", reflect.TypeFor[api.GetUser200Response]()},
	{"/invites", reflect.TypeFor[api.ListInvites200Response]()},
	{"/groups", reflect.TypeFor[api.ListUserGroups200Response]()},
	{"/groups/{id}", reflect.TypeFor[api.GetUserGroup200Response]()},
	{"/groups/{id}/users", reflect.TypeFor[api.ListUsersFromUserGroup200Response]()},
	{"/groups/{id}/invites", reflect.TypeFor[api.ListInvitesFromUserGroup200Response]()},
	{"/roles", reflect.TypeFor[api.ListRoles200Response]()},
	{"/sources", reflect.TypeFor[api.ListSources200Response]()},
	{"/warehouses", reflect.TypeFor[api.ListWarehouses200Response]()},
	{"/functions", reflect.TypeFor[api.ListFunctions200Response]()},
	{"/spaces", reflect.TypeFor[api.ListSpaces200Response]()},
	{"/labels", reflect.TypeFor[api.ListLabels200Response]()},
}

// endpointOf returns the path of the endpoint that a request goes to, or false if it is none
// of ours. Base URLs with a path of their own are no matter: the ends of paths are compared.
func endpointOf(u *url.URL) (string, reflect.Type, bool) {
	parts := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	if parts[0] == "" {
		parts = nil
	}
	for _, e := range endpoints {
		want := strings.Split(strings.Trim(e.path, "/"), "/")
		if want[0] == "" {
			want = nil
		}
		if slices.EqualFunc(want, parts, func(want, part string) bool { return want == part || want == "{id}" }) {
			return e.path, e.answer, true
		}
	}
	return "", nil, false
}

// An observer is a transport that notes forms of answers: never values, unless they are
// known constants of Segment.
type observer struct {
	base http.RoundTripper

	mu       sync.Mutex
	requests int
	// statuses has for each endpoint and each count asked for how often each status came.
	statuses map[string]map[int]map[int]int
	// next has for each endpoint the forms in which lists end.
	next map[string]map[string]int
	// fields are the paths in answers that the official client does not know, with types.
	fields map[string]bool
	// ids has the shapes of ids, by where they were.
	ids map[string]map[string]int
	// headers has the shapes of the headers about limits, by name.
	headers map[string]map[string]int
	limits  []limit
	// rows counts users and groups in lists and details, with and without permissions.
	rows map[rowKind]int
}

// A rowKind is a kind of row of an answer.
type rowKind struct {
	// name is that of the member of the answer: users, userGroups, user or userGroup.
	name        string
	permissions bool
}

// A limit is what one answer says of the window.
type limit struct {
	endpoint         string
	limit, remaining int
}

func newObserver(base http.RoundTripper) *observer {
	return &observer{
		base: base, statuses: map[string]map[int]map[int]int{}, next: map[string]map[string]int{}, fields: map[string]bool{},
		ids: map[string]map[string]int{}, headers: map[string]map[string]int{}, rows: map[rowKind]int{},
	}
}

// maxObserved is how much of an answer is observed.
const maxObserved = 64 << 20

// RoundTrip implements http.RoundTripper.
func (o *observer) RoundTrip(req *http.Request) (*http.Response, error) {
	o.mu.Lock()
	o.requests++
	o.mu.Unlock()
	resp, err := o.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxObserved))
	if err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), resp.Body), resp.Body}
	o.observe(req, resp, body)
	return resp, nil
}

func (o *observer) observe(req *http.Request, resp *http.Response, body []byte) {
	path, answer, known := endpointOf(req.URL)
	if !known {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	count, _ := strconv.Atoi(req.URL.Query().Get("pagination[count]")) // 0 means none.
	byCount := inner(o.statuses, path)
	if byCount[count] == nil {
		byCount[count] = map[int]int{}
	}
	byCount[count][resp.StatusCode]++
	o.observeHeaders(path, resp)
	if resp.StatusCode != http.StatusOK || !strings.Contains(resp.Header.Get("Content-Type"), "json") {
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var v any
	if decoder.Decode(&v) != nil {
		return // The client reports it.
	}
	o.observeFields(path, path, v, answer)
	data, _ := member(v, "data").(map[string]any)
	o.observeNext(path, data)
	o.observeIDs(data)
	for list, name := range map[string]string{"/users": "users", "/groups": "userGroups"} {
		if path != list {
			continue
		}
		for _, row := range rowsOf(data[name]) {
			o.rows[rowKind{name, len(rowsOf(member(row, "permissions"))) > 0}]++
		}
	}
	for _, name := range []string{"user", "userGroup"} {
		if detail, ok := data[name].(map[string]any); ok {
			_, there := detail["permissions"].([]any)
			o.rows[rowKind{name, there}]++
		}
	}
}

// inner returns the map in a map, which it makes if there is none.
func inner[K, L comparable, V any](m map[K]map[L]V, key K) map[L]V {
	if m[key] == nil {
		m[key] = map[L]V{}
	}
	return m[key]
}

func member(v any, name string) any {
	m, _ := v.(map[string]any)
	return m[name]
}

// The headers about limits.
const (
	headerLimit     = "X-Ratelimit-Limit"
	headerRemaining = "X-Ratelimit-Remaining"
	headerReset     = "X-Ratelimit-Reset"
	headerRetry     = "Retry-After"
)

func (o *observer) observeHeaders(endpoint string, resp *http.Response) {
	for _, name := range []string{headerLimit, headerRemaining, headerReset, headerRetry} {
		shape := "absent"
		if value := resp.Header.Get(name); value != "" {
			shape = shapeOf(value)
		}
		inner(o.headers, name)[shape]++
	}
	most, err := strconv.Atoi(resp.Header.Get(headerLimit))
	left, err2 := strconv.Atoi(resp.Header.Get(headerRemaining))
	if err == nil && err2 == nil {
		o.limits = append(o.limits, limit{endpoint, most, left})
	}
}

// shapeOf returns the form of a value: digits become 9, letters a or A.
func shapeOf(value string) string {
	for name, layout := range map[string]string{"RFC 1123": time.RFC1123, "RFC 1123 with a numeric zone": time.RFC1123Z, "RFC 3339": time.RFC3339, "JavaScript's Date": "Mon Jan 02 2006 15:04:05 GMT-0700 (MST)"} {
		if _, err := time.Parse(layout, value); err == nil {
			return name
		}
	}
	const most = 60
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9':
			return '9'
		case r >= 'a' && r <= 'z':
			return 'a'
		case r >= 'A' && r <= 'Z':
			return 'A'
		case strings.ContainsRune(" ,:;.+-()/", r):
			return r
		}
		return '?'
	}, value[:min(len(value), most)])
}

// observeFields notes the paths in v that a type of the official client does not have.
func (o *observer) observeFields(endpoint, path string, v any, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case v == nil || t.Kind() == reflect.Interface:
		return
	case t.Kind() == reflect.Map:
		return // Its keys are the workspace's own.
	}
	got := typeOf(v)
	switch t.Kind() {
	case reflect.Struct:
		m, ok := v.(map[string]any)
		if !ok {
			if !hasOwnJSON(t) {
				o.fields[fmt.Sprintf("%s: %s instead of an object", path, got)] = true
			}
			return
		}
		fields := fieldsOf(t)
		for key, value := range m {
			if field, known := fields[key]; known {
				o.observeFields(endpoint, path+"."+key, value, field)
			} else if len(fields) > 0 {
				o.fields[fmt.Sprintf("%s.%s: %s", path, fieldName(key), typeOf(value))] = true
			}
		}
	case reflect.Slice:
		rows, ok := v.([]any)
		if !ok {
			o.fields[fmt.Sprintf("%s: %s instead of a list", path, got)] = true
			return
		}
		for _, row := range rows {
			o.observeFields(endpoint, path+"[]", row, t.Elem())
		}
	case reflect.String:
		o.expect(path, got, "string")
	case reflect.Bool:
		o.expect(path, got, "boolean")
	default:
		o.expect(path, got, "number")
	}
}

func (o *observer) expect(path, got, want string) {
	if got != want {
		o.fields[fmt.Sprintf("%s: %s instead of %s", path, got, want)] = true
	}
}

// hasOwnJSON reports whether a type decodes itself from something else than an object.
func hasOwnJSON(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) && len(fieldsOf(t)) == 0
}

// fieldsOf returns the types of a struct's fields by their names in JSON.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			fields[name] = f.Type
		}
	}
	return fields
}

var plainName = regexp.MustCompile(`^[A-Za-z][A-Za-z_]{0,39}$`)

// fieldName returns the name of a field, unless it could be anything else.
func fieldName(key string) string {
	if plainName.MatchString(key) {
		return key
	}
	return "(another name)"
}

func typeOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case json.Number:
		return "number"
	case string:
		return "string"
	case []any:
		return "list"
	}
	return "object"
}

// observeNext notes how the last page of a list ends.
func (o *observer) observeNext(endpoint string, data map[string]any) {
	pagination, ok := data["pagination"].(map[string]any)
	if !ok {
		return
	}
	next, there := pagination["next"]
	form := "another type"
	switch text, isText := next.(string); {
	case !there:
		form = "absent"
	case next == nil:
		form = "null"
	case isText && text == "":
		form = "empty"
	case isText:
		return // Not the last page.
	}
	inner(o.next, endpoint)[form]++
}

// observeIDs notes the shapes of the ids of resources, in lists and in permissions.
func (o *observer) observeIDs(data map[string]any) {
	for _, list := range []string{"sources", "warehouses", "functions", "spaces"} {
		for _, row := range rowsOf(data[list]) {
			if id, ok := member(row, "id").(string); ok {
				inner(o.ids, "list of "+list)[idShape(id)]++
			}
		}
	}
	for _, holder := range []string{"user", "userGroup"} {
		for _, permission := range rowsOf(member(data[holder], "permissions")) {
			for _, resource := range rowsOf(member(permission, "resources")) {
				typeID, _ := member(resource, "type").(string)
				id, _ := member(resource, "id").(string)
				if slices.Contains(resourceTypes, typeID) {
					inner(o.ids, "permissions on "+typeID)[idShape(id)]++
				}
			}
		}
	}
}

// resourceTypes are those in permissions whose ids are compared with lists.
var resourceTypes = []string{"SOURCE", "WAREHOUSE", "FUNCTION", "SPACE"} //nolint:gochecknoglobals // Constant.

func rowsOf(v any) []any {
	rows, _ := v.([]any)
	return rows
}

var idPrefix = regexp.MustCompile(`^[a-z]{2,5}_`)

// idPrefixes are the prefixes of ids that Segment is known to use.
var idPrefixes = []string{"spa_", "sfnc_", "sfn_", "sfnd_", "dfn_", "ifnd_", "ifn_"} //nolint:gochecknoglobals // Constant.

// idShape returns the known prefix of an id and the number of characters that follow.
func idShape(id string) string {
	prefix := idPrefix.FindString(id)
	rest := strconv.Itoa(len(id) - len(prefix))
	switch {
	case slices.Contains(idPrefixes, prefix):
		return prefix + " and " + rest
	case prefix != "":
		return "another prefix of " + strconv.Itoa(len(prefix)) + " and " + rest
	}
	return rest
}
