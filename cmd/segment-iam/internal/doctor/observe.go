package doctor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/mail"
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
// of these.
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

	mu sync.Mutex
	// writes are the requests that are no reads.
	requests, writes int
	// statuses has for each endpoint and each count asked for how often each status came.
	statuses map[string]map[int]map[int]int
	// next has the forms in which lists end.
	next map[string]int
	// fields are the paths in answers that the official client does not know, with types.
	fields map[string]bool
	// ids has the shapes of ids, by where they were.
	ids map[string]map[string]int
	// successes counts answers with 200, and headers those of them with a header about
	// limits, by its name.
	successes int
	headers   map[string]int
	// resets has the forms of the header about the end of the window.
	resets map[string]int
	limits []limit
	// detailCounts counts the details of users and groups, with and without permissions.
	detailCounts map[detailKind]int
}

// A detailKind is a kind of detail: of a user or a userGroup, with or without the field
// permissions.
type detailKind struct {
	name        string
	permissions bool
}

// A limit is the state of the window after a request, as the answer shows it.
type limit struct {
	endpoint        string
	used, remaining int
}

func newObserver(base http.RoundTripper) *observer {
	return &observer{
		base: base, statuses: map[string]map[int]map[int]int{}, next: map[string]int{}, fields: map[string]bool{},
		ids: map[string]map[string]int{}, headers: map[string]int{}, resets: map[string]int{}, detailCounts: map[detailKind]int{},
	}
}

// maxObserved is how much of an answer is observed.
const maxObserved = 64 << 20

// RoundTrip implements http.RoundTripper.
func (o *observer) RoundTrip(req *http.Request) (*http.Response, error) {
	o.mu.Lock()
	o.requests++
	if req.Method != http.MethodGet {
		o.writes++
	}
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
	if resp.StatusCode != http.StatusOK {
		return
	}
	o.observeHeaders(path, resp.Header)
	if !strings.Contains(resp.Header.Get("Content-Type"), "json") {
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var v any
	if decoder.Decode(&v) != nil {
		return // The client reports it.
	}
	o.observeFields(path, v, answer)
	data, _ := member(v, "data").(map[string]any)
	o.observeNext(req.URL.Query().Get("pagination[cursor]"), data)
	o.observeIDs(data)
	for _, name := range []string{"user", "userGroup"} {
		if detail, ok := data[name].(map[string]any); ok {
			_, there := detail["permissions"].([]any)
			o.detailCounts[detailKind{name, there}]++
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

// The headers about limits that Segment documents.
const (
	headerConsumed  = "X-RateLimit-Consumed"
	headerRemaining = "X-RateLimit-Remaining"
	headerReset     = "X-RateLimit-Reset"
)

func (o *observer) observeHeaders(endpoint string, h http.Header) {
	o.successes++
	for _, name := range []string{headerConsumed, headerRemaining, headerReset} {
		if h.Get(name) != "" {
			o.headers[name]++
		}
	}
	if reset := h.Get(headerReset); reset != "" {
		o.resets[resetForm(reset)]++
	}
	used, err := strconv.Atoi(h.Get(headerConsumed))
	left, err2 := strconv.Atoi(h.Get(headerRemaining))
	if err == nil && err2 == nil {
		o.limits = append(o.limits, limit{endpoint, used, left})
	}
}

// otherForm precedes the form of a value that the client cannot read.
const otherForm = "another form: "

// resetForm returns the form of a point in time. The forms that it knows are those that the
// client reads.
func resetForm(value string) string {
	if _, err := mail.ParseDate(value); err == nil {
		return "a date of RFC 5322"
	}
	if _, err := http.ParseTime(value); err == nil {
		return "a date of HTTP"
	}
	withoutZoneName, _, _ := strings.Cut(value, " (")
	for layout, name := range map[string]string{time.RFC3339: "a date of RFC 3339", "Mon Jan 02 2006 15:04:05 GMT-0700": "a date of JavaScript"} {
		if _, err := time.Parse(layout, withoutZoneName); err == nil {
			return name
		}
	}
	if n, err := strconv.ParseInt(value, 10, 64); err == nil && n >= 0 {
		return fmt.Sprintf("a number of %d digits", len(value))
	}
	return otherForm + shapeOf(value)
}

// shapeOf returns the shape of a value: digits become 9, and letters a or A.
func shapeOf(value string) string {
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
func (o *observer) observeFields(path string, v any, t reflect.Type) {
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
		o.observeMembers(path, m, fieldsOf(t))
	case reflect.Slice:
		rows, ok := v.([]any)
		if !ok {
			o.fields[fmt.Sprintf("%s: %s instead of a list", path, got)] = true
			return
		}
		for _, row := range rows {
			o.observeFields(path+"[]", row, t.Elem())
		}
	case reflect.String:
		o.expect(path, got, "string")
	case reflect.Bool:
		o.expect(path, got, "boolean")
	default:
		o.expect(path, got, "number")
	}
}

// samplesOnly are fields of permissions that samples in Segment's documents have, although
// the official client does not.
var samplesOnly = []string{"policyId", "subjectId", "subjectType"} //nolint:gochecknoglobals // Constant.

func (o *observer) observeMembers(path string, m map[string]any, fields map[string]reflect.Type) {
	for key, value := range m {
		field, known := fields[key]
		switch {
		case known:
			o.observeFields(path+"."+key, value, field)
		case len(fields) == 0 || strings.HasSuffix(path, ".permissions[]") && slices.Contains(samplesOnly, key):
		default:
			o.fields[fmt.Sprintf("%s.%s: %s", path, fieldName(key), typeOf(value))] = true
		}
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

// The forms in which no list may end.
const (
	nextOtherType = "another type"
	nextItself    = "the cursor of the page itself"
)

// observeNext notes the form in which a list ends. cursor is that of the page.
func (o *observer) observeNext(cursor string, data map[string]any) {
	pagination, ok := data["pagination"].(map[string]any)
	if !ok {
		return
	}
	next, there := pagination["next"]
	form := nextOtherType
	switch text, isText := next.(string); {
	case !there:
		form = "absent"
	case next == nil:
		form = "null"
	case isText && text == "":
		form = "empty"
	case isText && text == cursor:
		form = nextItself
	case isText:
		return // Not the last page.
	}
	o.next[form]++
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

var idPrefix = regexp.MustCompile(`^[A-Za-z]{2,6}_`)

// functionPrefixes are those of functions in Segment's documents and in real permissions.
var functionPrefixes = []string{"sfnc_", "dfn_", "ifnd_", "ifns_"} //nolint:gochecknoglobals // Constant.

// idShape returns the known prefix of an id and the number of characters that follow.
func idShape(id string) string {
	prefix := idPrefix.FindString(id)
	rest := strconv.Itoa(len(id) - len(prefix))
	switch {
	case prefix == "spa_", prefix == "sfn_", slices.Contains(functionPrefixes, prefix):
		return prefix + " and " + rest
	case prefix != "":
		return fmt.Sprintf("another prefix of %d and %s", len(prefix), rest)
	}
	return rest
}

// prefixOf returns the prefix in a shape of [idShape], or nothing.
func prefixOf(shape string) string {
	prefix, _, found := strings.Cut(shape, " and ")
	if !found {
		return ""
	}
	return prefix
}
