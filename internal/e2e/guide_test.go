package e2e

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

const guide = "cmd/baton-segment/connector.mdx"

// Every command of the guide works as printed.
func TestGuide(t *testing.T) {
	t.Parallel()
	runRecipes(t, guide, map[string]recipe{
		"Run it without ConductorOne": {1, func(t *testing.T, blocks []string) { checkFirstSync(t, blocks[0]) }},
		"Provisioning":                {1, checkProvisioning},
		"A settings file":             {1, checkSettingsFile},
	})
}

// checkProvisioning runs the commands that grant a role, revoke another, and send
// and delete an invite.
func checkProvisioning(t *testing.T, blocks []string) {
	s := serve(t, sim.Demo())
	ws := s.Workspace()
	gains, loses, source := ws.Users[0], ws.Users[5], ws.Sources[6]
	lost := "source:" + source.ID + ":" + ws.Roles[2].ID + ":user:" + loses.ID
	runScript(t, s.Env(), firstSync+blocks[0], map[string]string{
		"<entitlement id>": "source:" + source.ID + ":" + ws.Roles[3].ID,
		"<user id>":        gains.ID,
		"<grant id>":       lost,
		"<e-mail>":         "someone.new@example.com",
		"<group>":          ws.Groups[0].Name,
	})
	grantRole(typeUser, gains.ID, ws.Roles[3].ID, onResource("SOURCE", source.ID))(ws)
	revokeRole(typeUser, loses.ID, ws.Roles[2].ID, onResource("SOURCE", source.ID))(ws)
	checkLeft(t, s, ws)
}

// The tables of the guide match the output of the program. With -update the test
// rewrites the guide that others read, so it is not parallel then.
func TestGuideTables(t *testing.T) {
	if !*update {
		t.Parallel()
	}
	text, _ := document(t, guide)
	for _, rows := range [][]string{capabilityRows(t), requestRows(t), settingRows(t), unusedRows(t)} {
		text = withTable(t, text, rows)
	}
	golden(t, filepath.Join(repository, guide), text)
}

// withTable replaces the table that starts with the same line.
func withTable(t *testing.T, text string, rows []string) string {
	t.Helper()
	table := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(rows[0]) + "\n(\\|.*\n)*")
	if found := table.FindAllString(text, -1); len(found) != 1 {
		t.Fatalf("there are %d tables that begin with %s", len(found), rows[0])
	}
	return table.ReplaceAllLiteralString(text, strings.Join(rows, "\n")+"\n")
}

// tableRows formats cells as a Markdown table.
func tableRows(rows [][]string) []string {
	var lines []string
	for i, cells := range rows {
		lines = append(lines, "| "+strings.Join(cells, " | ")+" |")
		if i == 0 {
			lines = append(lines, strings.Repeat("| :--- ", len(cells))+"|")
		}
	}
	return lines
}

// selfDescription decodes the output of a command that describes the program.
func selfDescription(t *testing.T, command string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(must(t, nil, "baton-segment", command).stdout), into); err != nil {
		t.Fatal(err)
	}
}

// A typeDescription is what the program says of a resource type.
type typeDescription struct {
	ResourceType struct{ ID, DisplayName string } `json:"resourceType"`
	Capabilities []string                         `json:"capabilities"`
	Permissions  struct {
		Permissions []struct{ Permission string }
	} `json:"permissions"`
}

func describedTypes(t *testing.T) []typeDescription {
	t.Helper()
	var described struct {
		ResourceTypeCapabilities []typeDescription `json:"resourceTypeCapabilities"`
	}
	selfDescription(t, "capabilities", &described)
	return described.ResourceTypeCapabilities
}

// requestRows returns the table of the requests that each type needs.
func requestRows(t *testing.T) []string {
	t.Helper()
	rows := [][]string{{"Resource", "Requests"}}
	for _, r := range describedTypes(t) {
		var requests []string
		for _, p := range r.Permissions.Permissions {
			requests = append(requests, "`"+p.Permission+"`")
		}
		rows = append(rows, []string{r.ResourceType.DisplayName + "s", strings.Join(requests, ", ")})
	}
	return tableRows(rows)
}

func capabilityRows(t *testing.T) []string {
	t.Helper()
	columns := []struct {
		heading      string
		capabilities []string
	}{
		{"Sync", []string{"CAPABILITY_SYNC"}},
		{"Sync single resources", []string{"CAPABILITY_TARGETED_SYNC"}},
		{"Grant and revoke", []string{"CAPABILITY_PROVISION"}},
		{"Create", []string{"CAPABILITY_ACCOUNT_PROVISIONING", "CAPABILITY_RESOURCE_CREATE"}},
		{"Delete", []string{"CAPABILITY_RESOURCE_DELETE"}},
	}
	head := []string{"Resource"}
	for _, c := range columns {
		head = append(head, c.heading)
	}
	rows := [][]string{head}
	for _, r := range describedTypes(t) {
		cells := []string{r.ResourceType.DisplayName + "s"}
		shown := 0
		for _, c := range columns {
			has := count(r.Capabilities, func(name string) bool { return slices.Contains(c.capabilities, name) })
			shown += has
			cell := ""
			if has > 0 {
				cell = `<Icon icon="square-check" iconType="solid" color="#c937ae"/>`
			}
			cells = append(cells, cell)
		}
		if shown != len(r.Capabilities) {
			t.Errorf("no column for a capability of %s: %v", r.ResourceType.ID, r.Capabilities)
		}
		rows = append(rows, cells)
	}
	return tableRows(rows)
}

// The guide contains only components that the site knows, and nothing that it
// would run as a program.
func TestGuideIsWellFormed(t *testing.T) {
	t.Parallel()
	text, _ := document(t, guide)
	front := regexp.MustCompile(`(?s)^---\ntitle: "(.*?)"\nog:title: "(.*?)"\ndescription: "(.*?)"\nog:description: "(.*?)"\nsidebarTitle: "[^"\n]+"\n---\n`).FindStringSubmatch(text)
	if front == nil || front[1] != front[2] || front[3] != front[4] {
		t.Fatalf("the heading is not what the site reads: %q", front)
	}
	prose := text[len(front[0]):]
	for _, code := range []string{"(?ms)^```.*?^```$", "`[^`\n]*`"} {
		prose = regexp.MustCompile(code).ReplaceAllString(prose, "")
	}
	open := []string{}
	for _, m := range regexp.MustCompile(`<(/?)(\w*)[^>]*?(/?)>`).FindAllStringSubmatch(prose, -1) {
		known := []string{"Tip", "Warning", "Note", "Info", "Icon", "Frame", "Card", "Check", "Tabs", "Tab", "Steps", "Step"}
		last := len(open) - 1
		switch {
		case !slices.Contains(known, m[2]):
			t.Errorf("the site does not know %s", m[0])
		case m[3] == "/":
		case m[1] == "":
			open = append(open, m[2])
		case last < 0 || open[last] != m[2]:
			t.Fatalf("%s closes nothing: %v are open", m[0], open)
		default:
			open = open[:last]
		}
	}
	if len(open) > 0 {
		t.Errorf("%v are not closed", open)
	}
	for what, pattern := range map[string]string{
		"an expression":       `[{}]`,
		"a contraction":       `(?i)\b\w+n't\b|\b\w+'(ll|re|ve|m|d)\b|\b(it|that|there|what|who|here|let)'s\b|\bcannot've\b`,
		"the future":          `(?i)\b(will|shall|going to)\b`,
		"the first person":    `\b(I|[Ww]e|[Oo]ur|us|[Mm]y)\b`,
		"the noun for a verb": `(?i)\bto setup\b`,
		"a fragment":          `\]\([^)]*#`,
		"an unsafe link":      `(?i)(javascript|data):`,
	} {
		if found := regexp.MustCompile(pattern).FindString(prose); found != "" {
			t.Errorf("there is %s: %q", what, found)
		}
	}
}

// A messageCase makes the program print a message of the guide.
type messageCase struct {
	// workspace is the one that the file was synced from, by default provisioned().
	// since is an edit made after that sync.
	workspace func() *sim.Workspace
	since     func(*sim.Workspace)
	options   []sim.Option
	fault     sim.Fault
	// times is how many requests have the fault, from its ordinal on, if not one.
	times int
	// before is an edit made right before the first request of the operation.
	operation string
	before    func(*sim.Workspace)
	env, args []string
	// noFile is set if there is no file yet.
	noFile bool
	// endless makes a list go on with empty pages.
	endless bool
}

// closedAddress returns an address on which no process listens.
func closedAddress(t *testing.T) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", simtest.FreePort(t))
}

// messageCases returns a case for each message of the guide, by message.
func messageCases(t *testing.T) map[string]messageCase {
	t.Helper()
	stranger := httptest.NewUnstartedServer(http.NotFoundHandler())
	stranger.Config.ErrorLog = log.New(t.Output(), "", 0)
	stranger.StartTLS()
	t.Cleanup(stranger.Close)
	account := func(profile string) []string {
		return []string{"--create-account-login", "x", "--create-account-profile", profile}
	}
	plain := account(`{"email":"new@example.com"}`)
	small := []string{"--page-size", "2"}
	failing := func(operation string, status int) sim.Fault {
		return sim.Fault{Operation: operation, Kind: sim.FaultStatus, Status: status}
	}
	once := func(f sim.Fault) sim.Fault {
		f.Ordinal = 1
		return f
	}
	limited := failing("listInvites", http.StatusTooManyRequests)
	limited.Header = http.Header{"Retry-After": {"3600"}}
	busy := once(failing("listRoles", http.StatusTooManyRequests))
	busy.Ordinal, busy.Header = 2, http.Header{"Retry-After": {"11"}} // The first request is that of Validate.
	down := once(failing("listRoles", http.StatusServiceUnavailable))
	down.Ordinal = 2
	last := func() *sim.Workspace {
		ws := provisioned()
		grantRole(typeUser, "u-ann", roleMinimal, onWorkspace())(ws)
		return ws
	}
	gate := []sim.Option{sim.WithoutFeatures(sim.FeatureSpaces)}
	return map[string]messageCase{
		"required flag(s) \"token\" not set":                                    {env: []string{"BATON_TOKEN="}},
		"field region: value must be one of [us eu US EU eu1]":                  {env: []string{"BATON_REGION=mars"}},
		"invalid resource type ... in filter":                                   {args: []string{"--sync-resource-types", "users"}},
		"401 Unauthorized; ... check the token":                                 {env: []string{"BATON_TOKEN=another"}},
		"403 Forbidden; ... check the token, that the token's role allows this": {fault: failing("listUsers", http.StatusForbidden)},
		"to leave this type out, list the others with --sync-resource-types":    {fault: failing("listSpaces", http.StatusForbidden)},
		"404 Not Found; ... check the base URL and the region":                  {fault: failing("listUsers", http.StatusNotFound)},
		"500 Internal Server Error; ... Segment keeps failing":                  {fault: failing("listUsers", http.StatusInternalServerError)},
		"the answer is not JSON ... such an answer does not come from Segment itself": {
			fault: sim.Fault{Operation: "listUsers", Kind: sim.FaultHTML, Status: http.StatusOK},
		},
		"failed to verify certificate: ... which certificates this machine trusts": {env: []string{"BATON_BASE_URL=" + stranger.URL}},
		"validate failed: ... no answer: ... check the network":                    {env: []string{"BATON_BASE_URL=http://" + closedAddress(t)}},
		"bad response: the next cursor is the one just used": {
			fault: sim.Fault{Operation: "listUsers", Kind: sim.FaultRepeatCursor}, args: small,
		},
		"the list cannot be continued from here: start again with a new file": {
			fault: sim.Fault{Operation: "listUsers", Kind: sim.FaultExpiredCursor}, args: small,
		},
		"the list has not ended after ... pages, the last ... of which are empty": {endless: true},
		"this token does not see permissions (a workspace always has an owner)": {
			options: []sim.Option{sim.WithNormalizing(sim.NormalizeOmitsPermissions)},
		},
		"workspace ... has no user ...: correct its id, or leave it out": {args: []string{"--sync-resources", "bid:r:user/ann@example.com"}},
		"there is no resource type":                                      {args: []string{"--sync-resources", "bid:r:users/u-ann"}},
		"users and groups were not found after they were listed":         {fault: failing("getUser", http.StatusNotFound)},

		"no other Workspace Owner found: grant the role Workspace Owner to another user first": {
			args: []string{"--revoke-grant", "role:owner:assigned:user:u-owner"},
		},
		"not directly but through the group... take the user out of the group": {
			args: []string{"--revoke-grant", "role:minimal:assigned:user:u-ann"},
		},
		"the last permission cannot be revoked":   {workspace: last, args: []string{"--revoke-grant", "role:minimal:assigned:user:u-ann"}},
		"is invited and cannot get or lose roles": {args: grantArgs("source:s1:src", typeInvite, invited)},
		"is no longer invited": {
			since: func(ws *sim.Workspace) { ws.Invites = nil }, args: grantArgs("group:g-members:member", typeInvite, invited),
		},
		"Segment no longer has user ...: sync again": {since: removeUserByID(userNewcomer), args: grantArgs("source:s1:src", typeUser, userNewcomer)},
		"pebble: not found":                          {args: []string{"--revoke-grant", "source:s1:src:user:u-owner"}},
		"pebble engine: no current sync":             {noFile: true, args: []string{"--revoke-grant", "source:s1:src:user:u-owner"}},
		"Segment may not allow this role there, or one of the two no longer exists": {
			since: func(ws *sim.Workspace) { ws.Sources = ws.Sources[1:] }, args: grantArgs("source:s1:src", typeUser, userNewcomer),
		},
		"a user cannot be added to the workspace directly": {
			since: removeUserByID(userNewcomer), args: grantArgs("workspace:ws:member", typeUser, userNewcomer),
		},
		"no name or id matches ...; there are:":         {args: account(`{"email":"new@example.com","role":"Source Amin"}`)},
		"several have the name ...: use one of the ids": {workspace: accountsWorkspace, args: account(`{"email":"new@example.com","groups":["Twins"]}`)},
		"the profile has no email":                      {args: account(`{"role":"pii"}`)},
		"the workspace's plan may not include user groups": {
			options: []sim.Option{sim.WithoutFeatures(sim.FeatureGroups)}, args: account(`{"email":"new@example.com","groups":["Members"]}`),
		},
		"the token belongs to workspace ..., not to workspace": {
			since: func(ws *sim.Workspace) { ws.ID = "ws2" }, args: []string{"--revoke-grant", "workspace:ws:member:user:u-ann"},
		},
		"resource type warehouse does not have provisioner configured":    {args: grantArgs("warehouse:w1:wh", typeUser, userNewcomer)},
		"resource type source does not have resource Delete() configured": {args: deleteArgs(typeSource, "s1")},
		"accepted, but not visible": {
			fault: sim.Fault{Operation: "addPermissionsToUser", Kind: sim.FaultStatus, Status: http.StatusOK, Body: `{"data":{"permissions":[]}}`},
			args:  grantArgs("source:s1:src", typeUser, userNewcomer),
		},
		"cannot be replaced without loss": {
			options: []sim.Option{sim.WithNormalizing(sim.NormalizeUnknownPermissionField)}, args: []string{"--revoke-grant", "source:s2:src:user:" + userHolder},
		},
		"COULD NOT BE CHANGED BACK": {
			options: []sim.Option{sim.WithNormalizing(sim.NormalizePutDropsLabels)}, args: []string{"--revoke-grant", "source:s2:src:user:" + userHolder},
		},
		"--create-account-profile is not a JSON object": {args: account("not json")},
		"the profile has the unknown key":               {args: account(`{"email":"new@example.com","rolle":"pii"}`)},
		"429 Too Many Requests; ... try again in":       {fault: limited, args: plain},
		"no answer: ... check the network":              {fault: sim.Fault{Operation: "createInvites", Kind: sim.FaultReset, Ordinal: 1}, args: plain},
		"503 Service Unavailable; ... fails: try again later": {
			fault: once(failing("createInvites", http.StatusServiceUnavailable)), args: plain,
		},

		"skipped: the workspace's plan or a feature is missing":                 {options: gate},
		"not in the file, because the workspace's plan or a feature is missing": {options: gate},
		"in the file without grants: grants are synced with users and groups": {
			args: []string{"--sync-resources", "bid:r:source/s1"},
		},
		"left out: members of groups who are not in the list of users": {
			operation: "listUsersFromUserGroup", before: func(ws *sim.Workspace) {
				ws.Users = append(ws.Users, sim.User{ID: "u-late", Email: "late@example.com"})
				addMember("g-members", "late@example.com")(ws)
			},
		},
		"left out: invites whose address belongs to a user":             {workspace: sim.Hostile},
		"permissions on unknown types of resources: no grants for them": {workspace: sim.Hostile},
		"Segment limits how many requests may be under way at a time": {
			workspace: func() *sim.Workspace { return sim.Sized(sim.Size{Users: 200, Seed: 7}) }, options: []sim.Option{sim.WithConcurrency(2)},
			fault: sim.Fault{Operation: "getUser", Kind: sim.FaultDelay, Delay: 5 * time.Millisecond},
		},
		"lists ask for 200 rows from now on": {options: []sim.Option{sim.WithMaxCount(200)}},
		retrying:                             {fault: down, times: 3}, // The library tries as often.
		"waiting for the rate limit":         {fault: busy},
		"reading users and groups":           {fault: once(sim.Fault{Operation: "getUser", Kind: sim.FaultDelay, Delay: 11 * time.Second})},
	}
}

// The program prints each message of the guide, and ends with the exit code that
// the guide gives for it.
func TestGuideMessages(t *testing.T) {
	t.Parallel()
	text, _ := document(t, guide)
	cases := messageCases(t)
	pool := newSubtestPool(t)
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (\\d+) \\| .+ \\| .+ \\|$").FindAllStringSubmatch(text, -1) {
		message, code := m[1], m[2]
		c, known := cases[message]
		delete(cases, message)
		if !known {
			t.Errorf("no case makes the program print %q", message)
			continue
		}
		if !strings.Contains(text, "\n| "+code+" | ") {
			t.Errorf("the exit codes of the guide do not have %s", code)
		}
		pool.run(message, func(t *testing.T) {
			d := c.deploy(t)
			args := append([]string{"-f", d.file()}, c.args...)
			r := runIn(t, d.dir, append(d.Env(), c.env...), program(t, "baton-segment"), args...)
			if fmt.Sprint(r.code) != code {
				t.Errorf("exit code %d, want %s", r.code, code)
			}
			pattern := strings.ReplaceAll(regexp.QuoteMeta(message), `\.\.\.`, ".*")
			if !regexp.MustCompile(pattern).MatchString(r.stderr) {
				t.Errorf("the program does not print %q:\n%s", message, r.stderr)
			}
		})
	}
	pool.wait()
	for message := range cases {
		t.Errorf("the guide does not have %q", message)
	}
}

// deploy prepares the workspace and the file of the case.
func (c messageCase) deploy(t *testing.T) deployment {
	t.Helper()
	workspace := c.workspace
	if workspace == nil {
		workspace = provisioned
	}
	d := deployment{serve(t, workspace(), c.options...), t.TempDir()}
	if len(c.args) > 0 && !c.noFile {
		d = newDeployment(t, workspace(), sharedSync(t, workspace()), c.options...)
	}
	if c.endless {
		d.URL = endlessRoles(t, d.Server.Server)
	}
	if c.since != nil {
		d.Update(c.since)
	}
	if c.fault.Operation != "" {
		fault := c.fault
		for range max(c.times, 1) {
			simtest.Inject(t, d.Server.Server, fault)
			fault.Ordinal++
		}
	}
	if c.before != nil {
		if err := d.Before(c.operation, 1, c.before); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// endlessRoles serves the workspace with a list of roles that goes on with empty pages
// and new cursors, and returns its address. Validate, which asks for one role, sees the
// list as it is.
func endlessRoles(t *testing.T, s *sim.Server) string {
	t.Helper()
	var asked atomic.Int64
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/roles" || r.URL.Query().Get("pagination[count]") == "1" {
			s.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		n := asked.Add(1)
		if _, err := fmt.Fprintf(w, `{"data":{"roles":[],"pagination":{"current":"%d","next":"%d"}}}`, n, n+1); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(listener.Close)
	return listener.URL
}
