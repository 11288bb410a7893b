package connector

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

func TestNew_InvalidOptions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options Options
		says    string
	}{
		"no token":    {Options{}, "token"},
		"two tokens":  {Options{Token: "sgp_a sgp_b"}, "token"},
		"region":      {Options{Token: "sgp_secret", Region: "mars"}, "mars"},
		"plain http":  {Options{Token: "sgp_secret", BaseURL: "http://segment.example"}, "https"},
		"credentials": {Options{Token: "sgp_secret", BaseURL: "https://u:sgp_secret@segment.example"}, "credentials"},
		"page size":   {Options{Token: "sgp_secret", PageSize: 1001}, "1000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := New(t.Context(), c.options)
			if err == nil || got != nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "sgp_") {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	if _, err := New(t.Context(), Options{Token: "sgp_from_a_file\n", Region: string(segmentapi.RegionEU)}); err != nil {
		t.Errorf("a token with a line break: %v", err)
	}
}

func TestValidate_Requests(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small())
	if _, err := f.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range f.sim.Journal() {
		got = append(got, r.Operation+"?"+r.Query)
	}
	want := []string{"getWorkspace?", "listUsers?pagination[count]=1", "listRoles?pagination[count]=1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestValidate_ErrorsNameWhatToCheck(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"getWorkspace", "listUsers", "listRoles"} {
		for httpStatus, want := range map[int]codes.Code{
			http.StatusUnauthorized: codes.Unauthenticated,
			http.StatusForbidden:    codes.PermissionDenied,
			http.StatusNotFound:     codes.FailedPrecondition,
		} {
			t.Run(operation+" "+http.StatusText(httpStatus), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, small())
				f.inject(t, sim.Fault{Operation: operation, Kind: sim.FaultStatus, Status: httpStatus})
				_, err := f.Validate(t.Context())
				if status.Code(err) != want {
					t.Errorf("code %s, want %s: %v", status.Code(err), want, err)
				}
				says := []string{operation, "region"}
				if want != codes.FailedPrecondition {
					says = append(says, "token", "role")
				}
				for _, word := range says {
					if !strings.Contains(err.Error(), word) {
						t.Errorf("%q does not say %q", err, word)
					}
				}
			})
		}
	}
}

// An untrusted certificate is FailedPrecondition, because it will not be trusted
// after another try. TLS 1.2 is the oldest version offered.
func TestValidate_UntrustedCertificate(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Min(hello.SupportedVersions) < tls.VersionTLS12 {
			t.Errorf("it offers the versions %#x", hello.SupportedVersions)
		}
		return nil, nil //nolint:nilnil // Go on as before.
	}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	c, err := New(t.Context(), Options{Token: "token", BaseURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Validate(t.Context()); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "certificate") {
		t.Error(err)
	}
}

// The token is in no error and no log, even at debug level with the SDK's
// logging of bodies switched on.
func TestValidate_TokenStaysOutOfLogsAndErrors(t *testing.T) {
	t.Setenv("BATON_DEBUG_PRINT_RESPONSE_BODY", "1")
	var all sync.WaitGroup // Parallel subtests may not have an environment of their own.
	for _, fault := range []sim.Fault{
		{},
		{Kind: sim.FaultStatus, Status: 401, Body: `{"errors":[{"type":"unauthorized","message":"` + sim.DefaultToken + ` is not valid"}]}`},
		{Kind: sim.FaultStatus, Status: 500}, {Kind: sim.FaultReset}, {Kind: sim.FaultHTML}, {Kind: sim.FaultRedirect},
	} {
		f := newFixture(t, small())
		if fault.Kind != "" {
			fault.Operation = "getWorkspace"
			fault.Body = strings.ReplaceAll(fault.Body, sim.DefaultToken, f.sim.Token())
			f.inject(t, fault)
		}
		all.Go(func() {
			ctx, logs := withObservedLog(t)
			_, err := f.Validate(ctx)
			if err != nil && strings.Contains(err.Error(), sim.DefaultToken) {
				t.Errorf("the error holds the token: %v", err)
			}
			if logs.Len() == 0 {
				t.Error("nothing was logged, so this shows nothing")
			}
			for _, e := range logs.All() {
				text, encodeErr := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()).EncodeEntry(e.Entry, e.Context)
				if encodeErr != nil {
					t.Error(encodeErr)
					return
				}
				for _, secret := range []string{sim.DefaultToken, "Bearer", "Small", "Ada"} {
					if strings.Contains(text.String(), secret) {
						t.Errorf("the log holds %q: %s", secret, text)
					}
				}
			}
		})
	}
	all.Wait()
}

// An answer that is not HTTP stays out of the log: it may repeat the request,
// and Go's HTTP client logs such answers as they come.
func TestValidate_TokenStaysOutOfTheLogOfMalformedAnswers(t *testing.T) {
	t.Parallel()
	var listening net.ListenConfig
	l := must(listening.Listen(t.Context(), "tcp", "127.0.0.1:0"))(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r, err := http.ReadRequest(bufio.NewReader(conn))
			if err == nil {
				_, err = fmt.Fprintf(conn, "HTTP/1.1 %s\r\n\r\n", strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
			}
			if err = errors.Join(err, conn.Close()); err != nil {
				t.Error(err)
			}
		}
	}()
	ctx, logs := withObservedLog(t)
	c := must(New(ctx, Options{Token: sim.DefaultToken, BaseURL: "http://" + l.Addr().String()}))(t)
	_, err := c.Validate(ctx)
	if status.Code(err) != codes.Unavailable || strings.Contains(err.Error(), sim.DefaultToken) {
		t.Error(err)
	}
	if logs.FilterMessage("request failed").Len() == 0 {
		t.Error("failed requests are not logged, so this shows nothing")
	}
	for _, e := range logs.All() {
		if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, sim.DefaultToken) {
			t.Errorf("the log says %s", text)
		}
	}
	if err = l.Close(); err != nil {
		t.Error(err)
	}
	<-ended
}

// Secrets of a workspace, such as the settings of a warehouse, are in no row, no
// session store and no log.
func TestSync_SecretsStayOut(t *testing.T) {
	t.Setenv("BATON_DEBUG_PRINT_RESPONSE_BODY", "1")
	for name, ws := range map[string]*sim.Workspace{"demo": sim.Demo(), "hostile": sim.Hostile()} {
		ctx, logs := withObservedLog(t)
		f := newFixture(t, ws)
		var out strings.Builder
		keep := func(rows ...any) { fmt.Fprintln(&out, rows...) }
		rows := f.listAllIn(ctx, t)
		for typeID, resources := range rows {
			for _, r := range resources {
				keep(r, must(f.get(ctx, typeID, r.GetId().GetResource()))(t))
			}
		}
		keep(must(f.staticEntitlements(t))(t))
		for _, r := range slices.Concat(rows[typeUser], rows[typeGroup]) {
			keep(must(f.entitlements(ctx, r))(t), must(f.grants(ctx, r))(t))
		}
		stored, _, err := f.session.GetAll(ctx, "")
		if err != nil || len(stored) == 0 {
			t.Errorf("%s: the session store has %d values: %v", name, len(stored), err)
		}
		for key, value := range stored {
			keep(key, string(value))
		}
		for _, e := range logs.All() {
			keep(e.Message, e.ContextMap())
		}
		if !strings.Contains(out.String(), "spa_") || logs.Len() == 0 {
			t.Errorf("%s: the rows or the log are empty, so this shows nothing", name)
		}
		if i := strings.Index(out.String(), "SECRET"); i >= 0 {
			t.Errorf("%s: found a secret: …%s…", name, out.String()[max(0, i-200):i+100])
		}
	}
}

// The schema describes each field. Other programs make forms of it.
func TestMetadata_AccountCreationSchema(t *testing.T) {
	t.Parallel()
	metadata := must((&Connector{}).Metadata(t.Context()))(t)
	var required []string
	orders := map[int32]bool{}
	for name, field := range metadata.GetAccountCreationSchema().GetFieldMap() {
		if field.GetDisplayName() == "" || field.GetDescription() == "" || field.GetPlaceholder() == "" {
			t.Errorf("%s does not explain itself", name)
		}
		if field.GetRequired() {
			required = append(required, name)
		}
		orders[field.GetOrder()] = true
		if list := field.HasStringListField(); list != (name == fieldGroups) || !list && !field.HasStringField() {
			t.Errorf("%s is of another type", name)
		}
	}
	if len(orders) != 3 || len(required) != 1 || required[0] != fieldEmail {
		t.Errorf("%d fields, of which required: %v", len(orders), required)
	}
	for _, word := range []string{"reads", "grants", "revokes", "invites"} {
		if !strings.Contains(metadata.GetDescription(), word) {
			t.Errorf("the description does not say %q", word)
		}
	}
}
