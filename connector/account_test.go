package connector

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// accountInfo is the request for an account with this profile.
func accountInfo(profile map[string]any) *v2.AccountInfo {
	fields, err := structpb.NewStruct(profile)
	if err != nil {
		panic(err)
	}
	return v2.AccountInfo_builder{Profile: fields}.Build()
}

// createAccount creates an account as the SDK's command line does.
func (f *fixture) createAccount(ctx context.Context, info *v2.AccountInfo) (connectorbuilder.CreateAccountResponse, error) {
	password := v2.LocalCredentialOptions_builder{RandomPassword: v2.LocalCredentialOptions_RandomPassword_builder{Length: 20}.Build()}.Build()
	got, secrets, _, err := syncerOf[*inviteSyncer](f, typeInvite).CreateAccount(ctx, info, password)
	if len(secrets) > 0 {
		panic("there are no passwords")
	}
	return got, err
}

// accountOutcome returns the kind of an answer and the row in it, in words, and
// the row.
func accountOutcome(t *testing.T, r connectorbuilder.CreateAccountResponse) (string, *v2.Resource) {
	t.Helper()
	describe := func(kind string, is bool, row *v2.Resource) (string, *v2.Resource) {
		if !is {
			t.Errorf("the answer does not say that it is one of creating an account: %v", r)
		}
		return kind + " " + row.GetId().GetResourceType() + ":" + row.GetId().GetResource(), row
	}
	switch r := r.(type) {
	case *v2.CreateAccountResponse_SuccessResult:
		return describe("success", r.GetIsCreateAccountResult(), r.GetResource())
	case *v2.CreateAccountResponse_AlreadyExistsResult:
		return describe("already exists", r.GetIsCreateAccountResult(), r.GetResource())
	case *v2.CreateAccountResponse_ActionRequiredResult:
		if !strings.Contains(r.GetMessage(), "must accept") {
			t.Errorf("the message is %q", r.GetMessage())
		}
		return describe("action required", r.GetIsCreateAccountResult(), r.GetResource())
	}
	return fmt.Sprintf("%T", r), nil
}

// CreateAccount sends at most one invite, with the role and the groups of the
// profile, and returns the row that a sync has.
func TestCreateAccount(t *testing.T) {
	t.Parallel()
	accepted := func(ws *sim.Workspace) { ws.Accept("eve@example.com", "u9") }
	mail := func(address string, primary bool) *v2.AccountInfo_Email {
		return v2.AccountInfo_Email_builder{Address: address, IsPrimary: primary}.Build()
	}
	const member, src = "member on WORKSPACE wksp []", "src on WORKSPACE wksp []"
	for name, c := range map[string]struct {
		info *v2.AccountInfo
		// meanwhile is an edit of the workspace right after the invite was sent.
		meanwhile func(*sim.Workspace)
		want      string
		// holds are the permissions of the new invite, or of its user.
		holds []string
		// groups are the ids of those that have the address afterwards.
		groups []string
		sent   bool
		says   string
	}{
		"new": {info: accountInfo(map[string]any{"email": "eve@example.com"}),
			want: "success invite:eve@example.com", holds: []string{member}, sent: true, says: "invited"},
		"a role by its name, groups by name and id": {
			info: accountInfo(map[string]any{"email": " eve@example.com ", "role": "source ADMIN", "groups": []any{"owners", "g2", "g1"}}),
			want: "success invite:eve@example.com", holds: []string{src}, groups: []string{"g1", "g2"}, sent: true, says: "invited"},
		"a role by its id, groups in one text": {info: accountInfo(map[string]any{"email": "eve@example.com", "role": "src", "groups": "g2, Owners,"}),
			want: "success invite:eve@example.com", holds: []string{src}, groups: []string{"g1", "g2"}, sent: true, says: "invited"},
		"a name with a comma": {info: accountInfo(map[string]any{"email": "eve@example.com", "groups": "Sales, EMEA"}),
			want: "success invite:eve@example.com", holds: []string{member}, groups: []string{"g3"}, sent: true, says: "invited"},
		"nothing for role and groups": {info: accountInfo(map[string]any{"email": "eve@example.com", "role": nil, "groups": nil, "login": nil}),
			want: "success invite:eve@example.com", holds: []string{member}, sent: true, says: "invited"},
		"the SDK's login, a name": {info: v2.AccountInfo_builder{
			Login: "eve", Profile: accountInfo(map[string]any{"email": "eve@example.com", "login": "eve"}).GetProfile(),
			Emails: []*v2.AccountInfo_Email{mail("old@example.com", false), mail("eve@example.com", true)},
		}.Build(), want: "success invite:eve@example.com", holds: []string{member}, sent: true, says: "invited"},
		"the SDK's login, the same address": {info: v2.AccountInfo_builder{
			Login: "EVE@example.com", Profile: accountInfo(map[string]any{"email": "eve@example.com", "login": "Eve@example.com"}).GetProfile(),
		}.Build(), want: "success invite:eve@example.com", holds: []string{member}, sent: true, says: "invited"},
		"accepted at once": {info: accountInfo(map[string]any{"email": "eve@example.com", "role": "src"}), meanwhile: accepted,
			want: "success user:u9", holds: []string{src}, sent: true, says: "invited, and already accepted"},
		"accepted at once, with a group": {info: accountInfo(map[string]any{"email": "eve@example.com", "groups": "g2"}), meanwhile: accepted,
			want: "success user:u9", holds: []string{member}, groups: []string{"g2"}, sent: true, says: "invited, and already accepted"},
		"a member": {info: accountInfo(map[string]any{"email": "bo@example.com", "role": "src", "groups": "g2"}),
			want: "already exists user:u2", says: "not invited: already a user of the workspace"},
		"a member in other case": {info: accountInfo(map[string]any{"email": "ADA@example.COM"}),
			want: "already exists user:u1", says: "not invited: already a user of the workspace"},
		"invited": {info: accountInfo(map[string]any{"email": "new@example.com"}),
			want: "action required invite:new@example.com", groups: []string{"g1"}, says: "not invited again: the invite is pending"},
		"invited in other case, with a group": {info: accountInfo(map[string]any{"email": "New@Example.com", "groups": "g2"}),
			want: "action required invite:new@example.com", groups: []string{"g1", "g2"}, says: "not invited again: the invite is pending"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ws := writable()
				ws.Groups = append(ws.Groups, sim.Group{ID: "g3", Name: "Sales, EMEA", Permissions: []sim.Permission{role("member")}})
				f := newInMemoryFixture(t, ws)
				if c.meanwhile != nil {
					if err := f.sim.Before("listInvites", 2, c.meanwhile); err != nil {
						t.Fatal(err)
					}
				}
				ctx, logs := withObservedLog(t)
				got, row := accountOutcome(t, must(f.createAccount(ctx, c.info))(t))
				if got != c.want {
					t.Fatalf("%s, want %s", got, c.want)
				}
				if sent := f.requestCounts()["createInvites"]; sent > 1 || (sent == 1) != c.sent {
					t.Errorf("%d invites were sent", sent)
				}
				if said := logs.FilterMessage(c.says).FilterFieldKey("email"); said.Len() != 1 || said.All()[0].Level != zap.InfoLevel || said.All()[0].ContextMap()["workspace_id"] != workspaceID {
					t.Errorf("the log does not say %q once: %v", c.says, logs.All())
				}
				// A sync has the same row.
				if diff := cmp.Diff(rowWithID(t, f.listAll(t)[row.GetId().GetResourceType()], row.GetId().GetResource()), row, protocmp.Transform()); diff != "" {
					t.Errorf("the row (-listed +returned):\n%s", diff)
				}
				var holds, groups []string
				after := f.sim.Workspace()
				for _, i := range after.Invites {
					if i.Email == "eve@example.com" {
						holds = holdingLines(i.Permissions)
					}
				}
				for _, u := range after.Users {
					if u.ID == "u9" {
						holds = holdingLines(u.Permissions)
					}
				}
				email := strings.ToLower(row.GetProfile().GetFields()["email"].GetStringValue())
				for _, g := range after.Groups {
					for _, m := range g.Members {
						if strings.EqualFold(m, email) {
							groups = append(groups, g.ID)
						}
					}
				}
				if c.sent || c.groups != nil {
					if diff := cmp.Diff([][]string{c.holds, c.groups}, [][]string{holds, groups}); diff != "" {
						t.Errorf("permissions and groups (-want +got):\n%s", diff)
					}
				}
			})
		})
	}
}

// An invalid profile is refused, and nothing is sent.
func TestCreateAccount_InvalidProfile(t *testing.T) {
	t.Parallel()
	eve := func(field string, value any) *v2.AccountInfo {
		return accountInfo(map[string]any{"email": "eve@example.com", field: value})
	}
	mail := v2.AccountInfo_Email_builder{Address: "eve@example.com", IsPrimary: true}.Build()
	for name, c := range map[string]struct {
		info *v2.AccountInfo
		opts []sim.Option
		code codes.Code
		says string
	}{
		"nothing":      {nil, nil, codes.InvalidArgument, "the profile has no email: it is empty or is not a JSON object"},
		"an empty one": {accountInfo(nil), nil, codes.InvalidArgument, "the profile has no email: it is empty or is not a JSON object"},
		// The SDK's command line makes an empty profile of one that does not parse, and
		// adds the login.
		"not parsed": {v2.AccountInfo_builder{Login: "eve@example.com", Profile: accountInfo(map[string]any{"login": "eve@example.com"}).GetProfile()}.Build(), nil,
			codes.InvalidArgument, `the profile has no email: it is empty or is not a JSON object: give it as {"email": "name@example.com"}`},
		"a login alone": {v2.AccountInfo_builder{Login: "eve@example.com", Profile: accountInfo(map[string]any{"login": "eve@example.com", "email": ""}).GetProfile()}.Build(), nil,
			codes.InvalidArgument, "the profile has no email: give the address"},
		"an address outside of the profile": {v2.AccountInfo_builder{Emails: []*v2.AccountInfo_Email{mail}}.Build(), nil,
			codes.InvalidArgument, "the profile has no email: it is empty or is not a JSON object"},
		"a role alone":      {accountInfo(map[string]any{"role": "src"}), nil, codes.InvalidArgument, "the profile has no email: give the address"},
		"a misspelled key":  {eve("rolle", "src"), nil, codes.InvalidArgument, `the profile has the unknown key "rolle": the keys are email, groups and role`},
		"several":           {accountInfo(map[string]any{"Email": "eve@example.com", "rolle": nil}), nil, codes.InvalidArgument, `the profile has the unknown keys "Email", "rolle": the keys are email, groups and role`},
		"another login":     {eve("login", "bo@example.com"), nil, codes.InvalidArgument, `the login "bo@example.com" is another address than the email "eve@example.com"`},
		"a login of a sign": {accountInfo(map[string]any{"email": "kate@example.com", "login": "\u212aate@example.com"}), nil, codes.InvalidArgument, "is another address than the email"},
		"another login outside of the profile": {v2.AccountInfo_builder{Login: "bo@example.com", Profile: eve("role", nil).GetProfile()}.Build(), nil,
			codes.InvalidArgument, `the login "bo@example.com" is another address than the email "eve@example.com"`},
		"a login that is a number": {eve("login", 1.0), nil, codes.InvalidArgument, "the field login of the profile must be a string"},
		"a no-break space":         {accountInfo(map[string]any{"email": "eve@example.com\u00a0"}), nil, codes.InvalidArgument, "is not an e-mail address"},
		"a blank one":              {accountInfo(map[string]any{"email": "  "}), nil, codes.InvalidArgument, "the profile has no email: give the address"},
		"an invalid one":           {accountInfo(map[string]any{"email": "eve"}), nil, codes.InvalidArgument, `"eve" is not an e-mail address`},
		"with a name":              {accountInfo(map[string]any{"email": "Eve <eve@example.com>"}), nil, codes.InvalidArgument, "is not an e-mail address"},
		"two of them":              {accountInfo(map[string]any{"email": "a@example.com,b@example.com"}), nil, codes.InvalidArgument, "is not an e-mail address"},
		"a number":                 {accountInfo(map[string]any{"email": 1.0}), nil, codes.InvalidArgument, "the field email of the profile must be a string"},
		"a number, and another address": {v2.AccountInfo_builder{
			Login: "eve@example.com", Profile: accountInfo(map[string]any{"email": 1.0}).GetProfile(),
		}.Build(), nil, codes.InvalidArgument, "the field email of the profile must be a string"},
		"a list for a role":     {eve("role", []any{"src"}), nil, codes.InvalidArgument, "the field role of the profile must be a string"},
		"a number for groups":   {eve("groups", 1.0), nil, codes.InvalidArgument, "the field groups of the profile must be a list of strings"},
		"numbers in groups":     {eve("groups", []any{"g1", 2.0}), nil, codes.InvalidArgument, "the field groups of the profile must be a list of strings"},
		"an unknown role":       {eve("role", "Sourcerer"), nil, codes.InvalidArgument, `"Sourcerer"; there are: Entities Admin, Functions Admin, Minimal Workspace Access, Source Admin, Twice, Twice, Unify and Engage Admin,`},
		"an ambiguous role":     {eve("role", "twice"), nil, codes.InvalidArgument, `several have the name "twice": use one of the ids t1, t2`},
		"an unknown group":      {eve("groups", "g1,gone"), nil, codes.InvalidArgument, `"gone"; there are: Owners, Same, Same, g2`},
		"an ambiguous group":    {eve("groups", []any{"SAME"}), nil, codes.InvalidArgument, `several have the name "SAME": use one of the ids s1, s2`},
		"groups without a plan": {eve("groups", "g1"), []sim.Option{sim.WithoutFeatures(sim.FeatureGroups)}, codes.FailedPrecondition, "plan"},
		"without a plan, 404": {eve("groups", "g1"), []sim.Option{sim.WithoutFeatures(sim.FeatureGroups), sim.WithGateStatus(404)},
			codes.FailedPrecondition, "plan may not include user groups"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := writable()
			ws.Roles = append(ws.Roles, sim.Role{ID: "t1", Name: "Twice"}, sim.Role{ID: "t2", Name: "Twice"})
			ws.Groups = append(ws.Groups, sim.Group{ID: "s1", Name: "Same"}, sim.Group{ID: "s2", Name: "Same"})
			f := newFixture(t, ws, c.opts...)
			before := f.state()
			got, err := f.createAccount(t.Context(), c.info)
			if status.Code(err) != c.code || !strings.Contains(err.Error(), c.says) || got != nil {
				t.Errorf("%v, %v\nwant %s: %s", got, err, c.code, c.says)
			}
			if writes := f.writes(); len(writes) > 0 {
				t.Errorf("it wrote %v", writes)
			}
			if diff := cmp.Diff(before, f.state()); diff != "" {
				t.Errorf("the workspace (-want +got):\n%s", diff)
			}
		})
	}
}

// If a value is the id of one role or group and the name of another, the id
// counts.
func TestCreateAccount_NameIsTheIDOfAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, first := range []bool{true, false} {
			ws := writable()
			roles, groups := sim.Role{ID: "other", Name: "SRC"}, sim.Group{ID: "g9", Name: "G2"}
			if first {
				ws.Roles, ws.Groups = slices.Insert(ws.Roles, 0, roles), slices.Insert(ws.Groups, 0, groups)
			} else {
				ws.Roles, ws.Groups = append(ws.Roles, roles), append(ws.Groups, groups)
			}
			f := newInMemoryFixture(t, ws)
			if _, err := f.createAccount(t.Context(), accountInfo(map[string]any{"email": "eve@example.com", "role": "src", "groups": "g2"})); err != nil {
				t.Fatal(err)
			}
			after := f.sim.Workspace()
			if diff := cmp.Diff([]string{"src on WORKSPACE wksp []"}, holdingLines(after.Invites[len(after.Invites)-1].Permissions)); diff != "" {
				t.Errorf("permissions (-want +got):\n%s", diff)
			}
			if !slices.Contains(f.state()["members of g2"], "eve@example.com") || slices.Contains(f.state()["members of g9"], "eve@example.com") {
				t.Errorf("groups: %v", f.state())
			}
		}
	})
}

// CreateAccount waits for the rate limit in each of its requests, because the
// SDK does not retry it.
func TestCreateAccount_WaitsForTheRateLimit(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"getWorkspace", "listRoles", "listUserGroups", "listUsers", "listInvites", "getUserGroup", "createInvites", "addUsersToUserGroup"} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newInMemoryFixture(t, writable())
				f.inject(t, sim.Fault{Operation: operation, Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"40"}}})
				if _, err := f.createAccount(t.Context(), accountInfo(map[string]any{"email": "eve@example.com", "role": "src", "groups": "g2"})); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// An error names twenty candidates at most.
func TestChoose_ErrorNamesFewCandidates(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("Group %04d", i))
	}
	_, err := choose(fieldGroups, "gone", names, func(name string) (string, string) { return name, name })
	if err == nil || !strings.HasSuffix(err.Error(), "Group 0018, Group 0019, 980 more") {
		t.Errorf("%v", err)
	}
	_, err = choose(fieldGroups, "gone", nil, func(name string) (string, string) { return name, name })
	if err == nil || !strings.HasSuffix(err.Error(), "there are: none") {
		t.Errorf("%v", err)
	}
}

// No list that is read before an invite is sent can go on for ever.
func TestCreateAccount_ListsWithoutAnEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault    sim.Fault
		requests int
	}{
		"empty pages of roles":   {sim.Fault{Operation: "listRoles", Kind: sim.FaultEmptyPages}, segmentapi.MaxEmptyPages},
		"empty pages of groups":  {sim.Fault{Operation: "listUserGroups", Kind: sim.FaultEmptyPages}, segmentapi.MaxEmptyPages},
		"empty pages of users":   {sim.Fault{Operation: "listUsers", Kind: sim.FaultEmptyPages}, segmentapi.MaxEmptyPages},
		"empty pages of invites": {sim.Fault{Operation: "listInvites", Kind: sim.FaultEmptyPages}, segmentapi.MaxEmptyPages},
		"the same roles again":   {sim.Fault{Operation: "listRoles", Kind: sim.FaultNewCursors}, maxChoices/segmentapi.MaxPageSize + 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := writable()
			for i := len(ws.Roles); i < 2000; i++ {
				ws.Roles = append(ws.Roles, sim.Role{ID: fmt.Sprintf("role-%d", i), Name: fmt.Sprintf("Role %d", i)})
			}
			f := newFixture(t, ws)
			simtest.Inject(t, f.sim, c.fault)
			_, err := f.createAccount(t.Context(), accountInfo(map[string]any{"email": "eve@example.com", "role": "src", "groups": "Owners"}))
			if status.Code(err) != codes.Internal {
				t.Errorf("got %v", err)
			}
			if n := f.requestCounts(); n[c.fault.Operation] != c.requests || n["createInvites"] > 0 {
				t.Errorf("%v requests, want %d", n, c.requests)
			}
		})
	}
}
