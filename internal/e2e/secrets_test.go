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
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// secretMark is in everything that a simulated workspace keeps secret.
const secretMark = "SECRET-"

// The secrets of the workspace and the token are neither in the output of a
// successful run, at the debug level, nor in its file.
func TestSecretsStayInTheWorkspace(t *testing.T) {
	t.Parallel()
	for name, ws := range map[string]*sim.Workspace{"demo": sim.Demo(), "hostile": sim.Hostile()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, ws)
			dir := t.TempDir()
			file := filepath.Join(dir, "sync.c1z")
			r := runIn(t, dir, s.Env(), program(t, "baton-segment"), "--log-level", "debug", "-f", file)
			if r.code != 0 {
				t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			if !strings.Contains(r.stderr, `"level":"debug"`) {
				t.Errorf("the log has no debug entry:\n%s", r.stderr)
			}
			raw := unpack(t, file)
			if !strings.Contains(raw, ws.Users[0].Email) {
				t.Error("the unpacked file does not contain the first user")
			}
			for _, secret := range []string{secretMark, s.Token()} {
				if where := findSecret(t, dir, r, secret); where != "" {
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

// If an answer with secrets is faulty, they are neither in the output of the run,
// nor in its log, nor in the files that it leaves.
func TestSecretsStayOutOfFailures(t *testing.T) {
	t.Parallel()
	pool := newSubtestPool(t)
	for _, kind := range sim.FaultKinds() {
		pool.run(string(kind), func(t *testing.T) {
			s := serve(t, sim.Hostile())
			for _, operation := range []string{"listSources", "listWarehouses", "listFunctions", "getUser"} {
				simtest.Inject(t, s.Server.Server, sim.Fault{Operation: operation, Ordinal: 1, Kind: kind})
			}
			dir := t.TempDir()
			file, log := filepath.Join(dir, "sync.c1z"), filepath.Join(dir, "log")
			r := runIn(t, dir, s.Env(), program(t, "baton-segment"),
				"-f", file, "--log-level", "debug", "--log-path", log, "--http-timeout-seconds", "1")
			if entries, err := os.ReadFile(log); err != nil || !strings.Contains(string(entries), `"level":"debug"`) {
				t.Errorf("the log has no debug entry: %v", err)
			}
			occurred := slices.ContainsFunc(s.Journal(), func(r sim.Request) bool { return r.Fault == kind })
			if !occurred {
				t.Error("the fault did not occur")
			}
			raw := ""
			if _, err := os.Stat(file); err == nil {
				raw = unpack(t, file)
			}
			for _, secret := range []string{secretMark, s.Token()} {
				if where := findSecret(t, dir, r, secret); where != "" {
					t.Errorf("%q is in %s", secret, where)
				}
				if strings.Contains(raw, secret) {
					t.Errorf("%q is in the unpacked file", secret)
				}
			}
		})
	}
	pool.wait()
}

// The output of a change has no secrets, whether it is made, refused or fails.
func TestSecretsStayOutOfChanges(t *testing.T) {
	t.Parallel()
	ws := sim.Hostile()
	synced := sharedSync(t, ws)
	const admin, readOnly = "1WDUuSF1kN1xis2lp09RVKOsnnL", "1WDUuNOXQYGLtEI7LcfBMpvU9ll"
	pool := newSubtestPool(t)
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
		pool.run(name, func(t *testing.T) {
			d := newDeployment(t, ws, synced)
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
				t.Errorf("the log has no debug entry:\n%s", s.stderr)
			}
			for _, secret := range []string{secretMark, d.Token()} {
				if where := findSecret(t, d.dir, s.result, secret); where != "" {
					t.Errorf("%q is in %s", secret, where)
				}
			}
		})
	}
	pool.wait()
}

// unpack returns every key and value of the database in a sync file,
// decompressed.
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

// The session store has no secrets. It is in the file during a sync, and remains
// there if the sync is interrupted.
func TestSecretsStayOutOfTheSession(t *testing.T) {
	t.Parallel()
	s := serve(t, sim.Hostile())
	session := &recordingStore{}
	syncWith(t, newRunner(t.Context(), t, s, 0, inprocess.WithSessionStore(session.wrap)), filepath.Join(t.TempDir(), "sync.c1z"))
	if !strings.Contains(session.recorded.String(), "user-mixed") {
		t.Error("the session store is empty")
	}
	for _, secret := range []string{secretMark, s.Token()} {
		if strings.Contains(session.recorded.String(), secret) {
			t.Errorf("%q is in the session", secret)
		}
	}
}

// A recordingStore records all keys and values that are stored.
type recordingStore struct {
	sessions.SessionStore
	mu       sync.Mutex
	recorded strings.Builder
}

func (r *recordingStore) wrap(sync sessions.SessionStore) sessions.SessionStore {
	r.SessionStore = sync
	return r
}

func (r *recordingStore) Set(ctx context.Context, key string, value []byte, opts ...sessions.SessionStoreOption) error {
	r.record(key, value)
	return r.SessionStore.Set(ctx, key, value, opts...)
}

func (r *recordingStore) SetMany(ctx context.Context, values map[string][]byte, opts ...sessions.SessionStoreOption) error {
	for key, value := range values {
		r.record(key, value)
	}
	return r.SessionStore.SetMany(ctx, values, opts...)
}

func (r *recordingStore) record(key string, value []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recorded.WriteString(key)
	r.recorded.Write(value)
}
