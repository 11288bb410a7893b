package connector

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/types/entitlement"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// An entitlement id and its parts convert to each other. Every other string is
// refused.
func FuzzEntitlementID(f *testing.F) {
	slugs := map[string]string{"workspace": "member", "group": "member", "role": "assigned", "source": "", "warehouse": "", "function": "", "space": "", "label": ""}
	for _, id := range []string{
		"", ":", "::", ":::", "source", "source:s1", "source:s1:r1", "source::r1", "source:s1:", "source:a:b:c", "label:env=prod,a=b:src", "group:g1:member", "group:g1:owner",
		"role:r1:assigned", "role:r1:member", "workspace:w1:member", "user:u1:member", "invite:a@b.com:member", "Source:s1:r1", "source :s1:r1", "space:spa_1:uni", "source:\xff:\xfe",
	} {
		f.Add(id, "source", "s1", "r1")
	}
	for typeID := range slugs {
		f.Add("", typeID, "a:b", "r1")
		f.Add("", typeID, ":", "")
	}
	f.Fuzz(func(t *testing.T, id, typeID, resource, slug string) {
		got, err := parseEntitlementID(id)
		if err != nil {
			if status.Code(err) != codes.InvalidArgument || got.typeID != "" || got.id != "" || got.slug != "" {
				t.Errorf("%q: %+v, %v", id, got, err)
			}
		} else {
			only, known := slugs[got.typeID]
			if !known || got.id == "" || got.slug == "" || strings.Contains(got.slug, ":") || only != "" && got.slug != only {
				t.Errorf("%q was taken for %+v", id, got)
			}
			if got.String() != id || entitlement.NewEntitlementID(stub(got.typeID, got.id), got.slug) != id {
				t.Errorf("%q was taken for %+v, which is %q", id, got, got)
			}
		}
		only, known := slugs[typeID]
		if only != "" {
			slug = only
		}
		if !known || resource == "" || slug == "" || strings.Contains(slug, ":") {
			return
		}
		whole := typeID + ":" + resource + ":" + slug
		if got, err = parseEntitlementID(whole); err != nil || got.typeID != typeID || got.id != resource || got.slug != slug {
			t.Errorf("%q was taken for %+v, %v", whole, got, err)
		}
	})
}

// The resource of a set of labels is made from its id alone, because no list has
// it.
func FuzzLabelResource(f *testing.F) {
	for _, id := range []string{
		"", "=", "a=b", "a=b,c=d", "c=d,a=b", "a=b,a=b", "a=b,", ",", "a", "a=b=c", "a=%3D,b=", "a=%3d,b=", "a=%25,b=c", "%2C=%3A,a=b", "sha256-" + strings.Repeat("0", 64),
		strings.Repeat("a", 500) + "=,b=c", "\xff=\xfe,a=b", "a:b=c,d=e",
	} {
		f.Add(id)
	}
	c := &Connector{}
	known := workspaceID
	c.workspace.id.Store(&known)
	labels := syncerOf[*grantableCatalog[labelSet]](&fixture{Connector: c}, typeLabel)
	f.Fuzz(func(t *testing.T, id string) {
		set, ok := access.ParseLabelID(id)
		if !ok || len(set) < 2 || !utf8.ValidString(id) {
			return // Lists have single labels, and protocol buffers hold valid UTF-8 only.
		}
		r, _, err := labels.Get(t.Context(), resourceID(typeLabel, id), nil)
		if err != nil || r.GetId().GetResource() != id || r.GetDisplayName() == "" {
			t.Errorf("%q is the resource %v, %v", id, r, err)
		}
	})
}

// A pageCall is a call of the SDK that takes a page token. It returns the ids of
// rows.
type pageCall struct {
	name   string
	phases []string
	read   func(context.Context, rs.SyncOpAttrs) ([]string, *rs.SyncOpResults, error)
}

// pageCalls are all such calls, for every type, user and group of ws.
func pageCalls(f *fixture, ws *sim.Workspace) []pageCall {
	var calls []pageCall
	for _, syncer := range f.ResourceSyncers(context.Background()) {
		call := pageCall{name: syncer.ResourceType(context.Background()).GetId(), read: func(ctx context.Context, o rs.SyncOpAttrs) ([]string, *rs.SyncOpResults, error) {
			rows, res, err := syncer.List(ctx, nil, o)
			return rowIDs(rows, func(r *v2.Resource) string { return r.GetId().GetResourceType() + ":" + r.GetId().GetResource() }), res, err
		}}
		if call.name == typeFunction {
			for _, kind := range segmentapi.FunctionTypes() {
				call.phases = append(call.phases, string(kind))
			}
		}
		calls = append(calls, call)
	}
	var subjects []*v2.Resource
	for _, u := range ws.Users {
		subjects = append(subjects, stub(typeUser, u.ID))
	}
	for _, g := range ws.Groups {
		subjects = append(subjects, stub(typeGroup, g.ID))
	}
	for _, r := range subjects {
		name := r.GetId().GetResourceType() + " " + r.GetId().GetResource()
		calls = append(calls, pageCall{name: "entitlements of " + name, read: func(ctx context.Context, o rs.SyncOpAttrs) ([]string, *rs.SyncOpResults, error) {
			rows, res, err := f.syncer(r).Entitlements(ctx, r, o)
			return rowIDs(rows, (*v2.Entitlement).GetId), res, err
		}})
		call := pageCall{name: "grants of " + name, phases: []string{"unlisted"}, read: func(ctx context.Context, o rs.SyncOpAttrs) ([]string, *rs.SyncOpResults, error) {
			rows, res, err := f.syncer(r).Grants(ctx, r, o)
			return rowIDs(rows, (*v2.Grant).GetId), res, err
		}}
		if r.GetId().GetResourceType() == typeGroup {
			call.phases = []string{"invites", "held", "unlisted"}
		}
		calls = append(calls, call)
	}
	return calls
}

// rowIDs returns the id of each row.
func rowIDs[T any](rows []T, id func(T) string) []string {
	var ids []string
	for _, row := range rows {
		ids = append(ids, id(row))
	}
	return ids
}

// An invalid page token is refused. A valid one leads only to rows of the call,
// and to an end.
func FuzzPageToken(f *testing.F) {
	ws := full()
	ws.Users[0].Permissions = append(ws.Users[0].Permissions, sim.Permission{RoleID: "src", Resources: []sim.Resource{{ID: "gone", Type: "SOURCE"}, {ID: "src", Type: "SOURCE"}}})
	fix := newUnpacedFixture(f, ws)
	calls := pageCalls(fix, ws)
	// The state of a sync before its grants, and all of its rows.
	rows := map[string]map[string]bool{}
	listed := statetest.New()
	for _, call := range calls {
		rows[call.name] = map[string]bool{}
		ids, err := allPages(&fixture{session: listed}, func(o rs.SyncOpAttrs) ([]string, *rs.SyncOpResults, error) { return call.read(f.Context(), o) })
		if err != nil {
			f.Fatal(call.name, err)
		}
		for _, id := range ids {
			rows[call.name][id] = true
		}
	}
	for i := range calls {
		f.Add(uint8(i), "")
		for _, token := range []string{
			`{"phase":"unlisted"}`, `{"phase":"held"}`, `{"phase":"invites","cursor":"MQ=="}`, `{"phase":"DESTINATION"}`, `{"phase":"nonsense"}`,
			`{"cursor":"MQ==","rows":1,"mark":"MQ==","reach":1}`, `{"cursor":"x"}`, `{"rows":-1}`, `{"rows":1,"of":1}`, `{"rows":5,"of":1}`, `{"of":-1}`, `{"steps":-1}`,
			`{"reach":9223372036854775807,"steps":9223372036854775807}`, `{"rows":9223372036854775807}`, `{"skipped":["a"],"why":"b"}`, `{"Rows":-1}`,
		} {
			f.Add(uint8(i), token)
		}
	}
	for _, token := range []string{"null", "[]", "{}", "{", "1", `"x"`, "{}{}", `{"rows":"1"}`, `{"rows":1.5}`, `{"cursor":"\ud800"}`, "\xff", " ", `{"skipped":[]}`, `{"cursor":null}`} {
		f.Add(uint8(0), token)
	}
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		call := calls[int(which)%len(calls)]
		token, err := parsePageToken(text, call.phases...)
		if err == nil {
			again, againErr := parsePageToken(token.String(), call.phases...)
			if againErr != nil || again.String() != token.String() {
				t.Errorf("%q is %s and then %s, %v", text, token, again, againErr)
			}
		} else if status.Code(err) != codes.InvalidArgument || len(err.Error()) > maxDescription {
			t.Errorf("%q: %v", text, err)
		}
		defer fix.sim.ResetJournal()
		for _, session := range []*statetest.Memory{{Values: maps.Clone(listed.Values)}, {Values: map[string][]byte{}}} {
			opts := rs.SyncOpAttrs{Session: session, SyncID: "sync"}
			opts.PageToken.Token = text
			for page := 0; ; page++ {
				if page > 40 {
					t.Fatalf("%s with %q has no end", call.name, text)
				}
				ids, res, callErr := call.read(t.Context(), opts)
				// The list of the workspace has one page and ignores the token.
				if page == 0 && call.name != typeWorkspace && !validPageToken(text, call.phases) && status.Code(callErr) != codes.InvalidArgument {
					t.Fatalf("%s took %q: %v, %v", call.name, text, ids, callErr)
				}
				if callErr != nil {
					if code := status.Code(callErr); code == codes.Unknown || code == codes.OK || len(ids) > 0 {
						t.Errorf("%s with %q: %v, %v", call.name, text, ids, callErr)
					}
					break
				}
				for _, id := range ids {
					if session.Values["list/user/rows"] != nil && !rows[call.name][id] {
						t.Errorf("%s with %q has the row %s", call.name, text, id)
					}
				}
				if res == nil || res.NextPageToken == "" {
					break
				}
				opts.PageToken.Token = res.NextPageToken
			}
		}
	})
}

// validPageToken reports that a string may be a page token of a call with these
// phases.
func validPageToken(text string, phases []string) bool {
	if text == "" {
		return true
	}
	fields := map[string]json.RawMessage{}
	if json.Unmarshal([]byte(text), &fields) != nil {
		return false
	}
	if len(fields) != 1 { // Another field may have the same name but for case, and overrule it.
		return true
	}
	var phase string
	if json.Unmarshal(fields["phase"], &phase) == nil && phase != "" && !slices.Contains(phases, phase) {
		return false
	}
	for _, name := range []string{"rows", "of", "steps", "reach"} {
		var n json.Number
		if json.Unmarshal(fields[name], &n) == nil && strings.ContainsAny(n.String(), "-.") {
			return n == "-0" // Minus zero is zero.
		}
	}
	return true
}

// A profile is either refused before anything is written, or one person gets one
// invite with the address, the role and the groups in it.
func FuzzAccountProfile(f *testing.F) {
	for _, profile := range []string{
		`{}`, `{"email":"eve@example.com"}`, `{"email":" eve@example.com\n","role":"source ADMIN","groups":["owners","g2"]}`, `{"email":"eve@example.com","groups":"g2, Owners,"}`,
		`{"email":"bo@example.com"}`, `{"email":"NEW@example.com","groups":"g2"}`, `{"email":"eve"}`, `{"email":"Eve <eve@example.com>"}`, `{"email":"a@example.com,b@example.com"}`,
		`{"email":1}`, `{"email":null}`, `{"email":["eve@example.com"]}`, `{"email":"eve@example.com","role":1}`, `{"email":"eve@example.com","role":["src"]}`, `{"email":"eve@example.com","role":"none"}`,
		`{"email":"eve@example.com","groups":1}`, `{"email":"eve@example.com","groups":["g1",2]}`, `{"email":"eve@example.com","groups":["g1","g1","G1","Owners"]}`, `{"email":"eve@example.com","groups":[]}`,
		`{"email":"eve@example.com","groups":","}`, `{"email":"eve@example.com","groups":{"a":"b"}}`, `{"email":"a b@example.com"}`, `{"email":"\"a b\"@example.com"}`, `{"email":"eve@[127.0.0.1]"}`,
		`{"email":"eve@example.com\r\nBcc: all@example.com"}`, `{"email":"e\u0000ve@example.com"}`, `{"email":"ev\u200be@example.com"}`, `{"email":"e\u00a0ve@example.com"}`, `{"email":"\u00e9ve@ex\u00e4mple.com"}`,
		`{"email":"=?utf-8?q?eve=40example.com?="}`, `{"email":"eve@example.com (Eve)"}`, `{"email":"` + strings.Repeat("e", 5000) + `@example.com"}`, `{"email":"` + strings.Repeat("e", 5000) + `"}`,
		`{"email":"eve@example.com","role":"` + strings.Repeat("r", 5000) + `"}`, `{"Email":"eve@example.com"}`,
	} {
		f.Add(profile, "", "", false)
	}
	f.Add(`{}`, "eve@example.com", "", false)
	f.Add(`{}`, "eve", "old@example.com", true)
	f.Add(`{"email":1}`, "eve@example.com", "old@example.com", true)
	f.Add(`{"email":"eve@example.com","login":"eve@example.com"}`, "bo@example.com", "", false)
	f.Add(`{"email":"eve@example.com","rolle":"src"}`, "", "", false)
	ws := writable()
	ws.Groups = append(ws.Groups, sim.Group{ID: "g3", Name: "Sales, EMEA", Permissions: []sim.Permission{role("member")}})
	f.Fuzz(func(t *testing.T, profile, login, other string, primary bool) {
		fields := &structpb.Struct{}
		if protojson.Unmarshal([]byte(profile), fields) != nil || !utf8.ValidString(login+other) {
			return // A profile is always valid JSON and UTF-8.
		}
		info := v2.AccountInfo_builder{Profile: fields, Login: login, Emails: []*v2.AccountInfo_Email{v2.AccountInfo_Email_builder{Address: other, IsPrimary: primary}.Build()}}.Build()
		fix := newUnpacedFixture(t, ws)
		before := fix.sim.Workspace()
		got, err := fix.createAccount(t.Context(), info)
		after := fix.sim.Workspace()
		var sent []string
		for _, operation := range fix.writes() {
			if operation == "createInvites" {
				sent = append(sent, operation)
			} else if operation != "addUsersToUserGroup" || err != nil {
				t.Errorf("%s: it wrote %s", profile, operation)
			}
		}
		if err != nil {
			if status.Code(err) != codes.InvalidArgument || got != nil || len(sent) > 0 || len(status.Convert(err).Message()) > maxDescription {
				t.Errorf("%s: %v with %v, sent %v", profile, got, err, sent)
			}
			return
		}
		asked := fields.AsMap()
		text, _ := asked["email"].(string)
		email := strings.TrimSpace(text)
		for key := range asked {
			if !slices.Contains([]string{"email", "role", "groups", "login"}, key) {
				t.Errorf("%s: it accepted the key %q", profile, key)
			}
		}
		known := func(ws *sim.Workspace) bool {
			return slices.ContainsFunc(ws.Users, func(u sim.User) bool { return strings.EqualFold(u.Email, email) }) ||
				slices.ContainsFunc(ws.Invites, func(i sim.Invite) bool { return strings.EqualFold(i.Email, email) })
		}
		if !known(after) || known(before) == (len(sent) == 1) || len(sent) > 1 || len(after.Invites) != len(before.Invites)+len(sent) {
			t.Fatalf("%s: %v to %q, known before: %v", profile, sent, email, known(before))
		}
		if len(sent) == 1 {
			if local, domain, _ := strings.Cut(email, "@"); local == "" || domain == "" || strings.ContainsFunc(email, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }) {
				t.Errorf("%s: the address is %q", profile, email)
			}
			invite := after.Invites[slices.IndexFunc(after.Invites, func(i sim.Invite) bool { return i.Email == email })]
			want := "Minimal Workspace Access"
			if text, _ := asked["role"].(string); strings.TrimSpace(text) != "" {
				want = strings.TrimSpace(text)
			}
			if len(invite.Permissions) != 1 || !slices.ContainsFunc(after.Roles, func(r sim.Role) bool {
				return r.ID == invite.Permissions[0].RoleID && (r.ID == want || strings.EqualFold(r.Name, want))
			}) {
				t.Errorf("%s: it gives %+v, want %q", profile, invite.Permissions, want)
			}
		}
		texts := strings.ToLower(fmt.Sprint(asked["groups"]))
		for i, g := range after.Groups {
			joined := len(g.Members) - len(before.Groups[i].Members)
			named := strings.Contains(texts, strings.ToLower(g.ID)) || g.Name != "" && strings.Contains(texts, strings.ToLower(g.Name))
			if joined < 0 || joined > 1 || joined == 1 && (!named || !strings.EqualFold(g.Members[len(g.Members)-1], email)) {
				t.Errorf("%s: group %s has %v", profile, g.ID, g.Members)
			}
		}
	})
}

// Options make a connector or an error, and no secret is in the error.
func FuzzConfig(f *testing.F) {
	const secret = "hunter2"
	for _, token := range []string{"", "abc", "\n", " x", "a b", "\x00", "a\u00a0b", "é", "\xff", "a\r\nX-Header: b"} {
		f.Add(token, "us", "", 1000)
	}
	for _, region := range []string{"", "us", "eu", "US", "EU", "eu1", "us1", "mars", "us\n"} {
		f.Add("t", region, "", 0)
	}
	for _, base := range []string{
		"https://example.com", "http://localhost:8080", "http://example.com/" + secret, "https://user:" + secret + "@example.com", "https://example.com?" + secret, "https://example.com#" + secret,
		secret, secret + "://example.com", "ftp://" + secret, "https:" + secret, "https://[" + secret, "https://" + secret + ":x", "http://localho\u017Ft",
	} {
		f.Add("t", "us", base, 1)
		f.Add("t", "mars", base, -1)
	}
	for _, size := range []int{-1 << 63, -1, 0, 1, 1000, 1001, 1 << 32, 1<<63 - 1} {
		f.Add("t", "eu", "", size)
	}
	f.Fuzz(func(t *testing.T, token, region, base string, size int) {
		token = secret + token
		c, err := New(t.Context(), Options{Token: token, Region: region, BaseURL: base, PageSize: size, Version: "fuzz"})
		if err != nil {
			if text := err.Error(); c != nil || strings.Contains(text, secret) && !strings.Contains(region, secret) {
				t.Errorf("%v with %v", c, err)
			}
			return
		}
		trimmed := strings.TrimSpace(token)
		if strings.ContainsFunc(trimmed, func(r rune) bool { return unicode.IsControl(r) && r < 0x80 || r == ' ' }) || !slices.Contains([]string{"", "us", "eu", "US", "EU", "eu1"}, region) || size < 0 || size > 1000 {
			t.Errorf("taken: token %q, region %q, page size %d", token, region, size)
		}
		if base != "" {
			u, parseErr := url.Parse(base)
			here := u != nil && (strings.ToLower(u.Hostname()) == "localhost" || strings.HasPrefix(u.Hostname(), "127.") || strings.Contains(u.Hostname(), ":"))
			if parseErr != nil || u.User != nil || u.Hostname() == "" || u.Scheme != "https" && (u.Scheme != "http" || !here) {
				t.Errorf("taken: base URL %q", base)
			}
		}
		if c.client == nil || c.patient == nil {
			t.Error("no client")
		}
	})
}
