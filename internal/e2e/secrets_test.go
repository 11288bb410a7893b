package e2e

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/conductorone/baton-sdk/pkg/dotc1z/engine/pebble"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"google.golang.org/grpc/codes"

	"github.com/baton-segment/baton-segment/connector/inprocess"
	"github.com/baton-segment/baton-segment/internal/sim"
)

// secretMark is in everything that a simulated workspace keeps secret.
const secretMark = "SECRET-"

// What a run that works says, at the level that says most, and everything in
// the file that it writes, keeps the workspace's secrets and the token.
func TestSecretsStayInTheWorkspace(t *testing.T) {
	t.Parallel()
	for name, ws := range map[string]*sim.Workspace{"demo": sim.Demo(), "hostile": sim.Hostile()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, ws)
			dir := t.TempDir()
			file := filepath.Join(dir, "sync.c1z")
			r := runIn(t, dir, s.env(), filepath.Join(programs, "baton-segment"), "--log-level", "debug", "-f", file)
			if r.code != 0 {
				t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			if !strings.Contains(r.stderr, `"level":"debug"`) {
				t.Errorf("nothing was logged at debug level:\n%s", r.stderr)
			}
			raw := unpack(t, file)
			if !strings.Contains(raw, ws.Users[0].Email) {
				t.Error("the unpacked file does not hold what it must hold")
			}
			for _, secret := range []string{secretMark, s.Token()} {
				if where := leaks(t, dir, r, secret); where != "" {
					t.Errorf("%q is in %s", secret, where)
				}
				if strings.Contains(raw, secret) {
					t.Errorf("%q is in the unpacked file", secret)
				}
				for _, command := range []string{"resource-types", "resources", "entitlements", "grants"} {
					if strings.Contains(must(t, nil, "baton", command, "-f", file, "-o", "json").stdout, secret) {
						t.Errorf("%q is in what baton %s shows", secret, command)
					}
				}
			}
		})
	}
}

// Whatever goes wrong with the answers that hold them, secrets are in nothing
// that a run prints, logs, or leaves behind.
func TestSecretsStayOutOfFailures(t *testing.T) {
	t.Parallel()
	rows := newCrowd(t)
	for _, kind := range sim.FaultKinds() {
		rows.run(string(kind), func(t *testing.T) {
			s := serve(t, sim.Hostile())
			for _, operation := range []string{"listSources", "listWarehouses", "listFunctions", "getUser"} {
				if err := s.Inject(sim.Fault{Operation: operation, Ordinal: 1, Kind: kind}); err != nil {
					t.Fatal(err)
				}
			}
			dir := t.TempDir()
			file, log := filepath.Join(dir, "sync.c1z"), filepath.Join(dir, "log")
			r := runIn(t, dir, s.env(), filepath.Join(programs, "baton-segment"),
				"-f", file, "--log-level", "debug", "--log-path", log, "--http-timeout-seconds", "1")
			if entries, err := os.ReadFile(log); err != nil || !strings.Contains(string(entries), `"level":"debug"`) {
				t.Errorf("nothing was logged at debug level: %v", err)
			}
			faulty := slices.ContainsFunc(s.Journal(), func(r sim.Request) bool { return r.Fault == kind })
			if !faulty {
				t.Error("nothing went wrong")
			}
			raw := ""
			if _, err := os.Stat(file); err == nil {
				raw = unpack(t, file)
			}
			for _, secret := range []string{secretMark, s.Token()} {
				if where := leaks(t, dir, r, secret); where != "" {
					t.Errorf("%q is in %s", secret, where)
				}
				if strings.Contains(raw, secret) {
					t.Errorf("%q is in the unpacked file", secret)
				}
			}
		})
	}
	rows.wait()
}

// What a change says, made, refused or failed, keeps them too.
func TestSecretsStayOutOfChanges(t *testing.T) {
	t.Parallel()
	ws := sim.Hostile()
	synced := syncFile(t, serve(t, ws))
	const admin, readOnly = "1WDUuSF1kN1xis2lp09RVKOsnnL", "1WDUuNOXQYGLtEI7LcfBMpvU9ll"
	rows := newCrowd(t)
	for name, c := range map[string]struct {
		args  []string
		fault *sim.Fault
		code  codes.Code
	}{
		"grant":          {args: grantArgs("source:source-plain:"+admin, typeUser, "user-empty-name")},
		"grant refused":  {args: grantArgs("source:source-deleted:"+admin, typeUser, "user-empty-name"), code: codes.InvalidArgument},
		"revoke":         {args: []string{"--revoke-grant", "source:source-plain:" + admin + ":user:user-repeats"}},
		"revoke refused": {args: []string{"--revoke-grant", "source:source-plain:" + readOnly + ":user:user-mixed"}, code: codes.FailedPrecondition},
		"join":           {args: grantArgs("group:group-nobody:member", typeUser, "user-empty-name")},
		"leave":          {args: []string{"--revoke-grant", "group:group-blank-name:member:user:user-blank-name"}},
		"create":         {args: []string{"--create-account-login", "x", "--create-account-profile", `{"email":"x@example.com","groups":["Nobody"]}`}},
		"create refused": {args: []string{"--create-account-login", "x", "--create-account-profile", `{"email":"x@example.com","role":"x"}`}, code: codes.InvalidArgument},
		"delete user":    {args: deleteArgs(typeUser, "user-empty-name")},
		"delete group":   {args: deleteArgs(typeGroup, "group-nobody")},
		"delete invite":  {args: deleteArgs(typeInvite, "alone@example.com")},
		"answer that repeats the token": {
			args:  grantArgs("source:source-plain:"+admin, typeUser, "user-empty-name"),
			fault: &sim.Fault{Kind: sim.FaultStatus, Status: http.StatusForbidden, Body: `{"errors":[{"type":"forbidden","message":"` + token + ` may not"}]}`},
			code:  codes.PermissionDenied,
		},
	} {
		rows.run(name, func(t *testing.T) {
			d := newDesk(t, ws, synced)
			if c.fault != nil {
				c.fault.Operation = "addPermissionsToUser"
				if err := d.Inject(*c.fault); err != nil {
					t.Fatal(err)
				}
			}
			s := d.run(t, append(c.args, "--log-level", "debug")...)
			if s.code != int(c.code) {
				t.Errorf("exit code %d, want %d\n%s", s.code, c.code, s.stderr)
			}
			if !strings.Contains(s.stderr, `"level":"debug"`) {
				t.Errorf("nothing was logged at debug level:\n%s", s.stderr)
			}
			for _, secret := range []string{secretMark, d.Token()} {
				if where := leaks(t, d.dir, s.result, secret); where != "" {
					t.Errorf("%q is in %s", secret, where)
				}
			}
		})
	}
	rows.wait()
}

// unpack is all that a sync file holds, decompressed: every key and value of
// the database in it.
func unpack(t *testing.T, file string) string {
	t.Helper()
	engine, ok := openFile(t, file).(interface{ PebbleEngine() *pebble.Engine })
	if !ok {
		t.Fatal("the file is not a pebble database")
	}
	rows, err := engine.PebbleEngine().UnsafeForTesting().NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for more := rows.First(); more; more = rows.Next() {
		all.Write(rows.Key())
		all.Write(rows.Value())
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// What the connector remembers is in the file as long as the sync runs, and
// stays there if it breaks off.
func TestSecretsStayOutOfTheSession(t *testing.T) {
	t.Parallel()
	s := serve(t, sim.Hostile())
	session := &readSession{}
	syncWith(t, embed(t.Context(), t, s, 0, inprocess.WithSessionStore(session.of)), filepath.Join(t.TempDir(), "sync.c1z"))
	if !strings.Contains(session.seen.String(), "user-mixed") {
		t.Error("nothing was remembered")
	}
	for _, secret := range []string{secretMark, s.Token()} {
		if strings.Contains(session.seen.String(), secret) {
			t.Errorf("%q is in the session", secret)
		}
	}
}

// A readSession keeps all that is put into it, for the test to read.
type readSession struct {
	sessions.SessionStore
	mu   sync.Mutex
	seen strings.Builder
}

func (r *readSession) of(sync sessions.SessionStore) sessions.SessionStore {
	r.SessionStore = sync
	return r
}

func (r *readSession) Set(ctx context.Context, key string, value []byte, opts ...sessions.SessionStoreOption) error {
	r.see(key, value)
	return r.SessionStore.Set(ctx, key, value, opts...)
}

func (r *readSession) SetMany(ctx context.Context, values map[string][]byte, opts ...sessions.SessionStoreOption) error {
	for key, value := range values {
		r.see(key, value)
	}
	return r.SessionStore.SetMany(ctx, values, opts...)
}

func (r *readSession) see(key string, value []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.WriteString(key)
	r.seen.Write(value)
}
