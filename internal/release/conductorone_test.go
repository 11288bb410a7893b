package release

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	c1 "github.com/conductorone/baton-sdk/pb/c1/connectorapi/baton/v1"
	"google.golang.org/grpc"
)

// A conductorOne is the part of ConductorOne that a connector needs in daemon mode: it
// issues a token, answers Hello, hands out tasks and receives their results.
type conductorOne struct {
	c1.UnimplementedBatonServiceServer

	clientID, secret string
	address          string
	close            func() // ends it
	certificate      []byte // PEM

	hello   chan struct{} // closed at the first Hello
	welcome chan struct{} // closed to let Hello be answered
	asked   chan struct{} // closed when a task is first asked for
	tasks   chan *c1.Task
	uploads chan []byte
	// uploading is closed when an upload begins. It is not taken before upload is closed.
	uploading, upload chan struct{}
	finished          chan *c1.BatonServiceFinishTaskRequest
}

func serveConductorOne(t *testing.T) *conductorOne {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := json.Marshal(map[string]string{
		"kty": "OKP", "crv": "Ed25519",
		"x": base64.RawURLEncoding.EncodeToString(public),
		"d": base64.RawURLEncoding.EncodeToString(private.Seed()),
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &conductorOne{
		secret: "secret-token:conductorone.com:v1:" + base64.RawURLEncoding.EncodeToString(key),
		hello:  make(chan struct{}), welcome: make(chan struct{}), asked: make(chan struct{}),
		tasks: make(chan *c1.Task), uploads: make(chan []byte, 1), uploading: make(chan struct{}), upload: make(chan struct{}), finished: make(chan *c1.BatonServiceFinishTaskRequest),
	}
	service := grpc.NewServer()
	c1.RegisterBatonServiceServer(service, c)
	token := "Bearer " + rand.Text()
	known := "" // The client id, which tests may change for the program.
	mux := http.NewServeMux()
	mux.HandleFunc("POST /auth/v1/token", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("client_id") != known {
			http.Error(w, "another client", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		answer := map[string]any{"access_token": strings.TrimPrefix(token, "Bearer "), "token_type": "Bearer", "expires_in": 3600}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != token {
			http.Error(w, "no token", http.StatusUnauthorized)
			return
		}
		service.ServeHTTP(w, r)
	})
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	c.close = func() {
		server.CloseClientConnections()
		server.Close()
	}
	c.address = server.Listener.Addr().String()
	known = "a-connector@" + c.address + "/spc"
	c.clientID = known
	c.certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return c
}

// Hello is the first call of a connector.
func (c *conductorOne) Hello(ctx context.Context, _ *c1.BatonServiceHelloRequest) (*c1.BatonServiceHelloResponse, error) {
	closeOnce(c.hello)
	select {
	case <-c.welcome:
		return &c1.BatonServiceHelloResponse{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// GetTask waits for a task.
func (c *conductorOne) GetTask(ctx context.Context, _ *c1.BatonServiceGetTaskRequest) (*c1.BatonServiceGetTaskResponse, error) {
	closeOnce(c.asked)
	select {
	case task := <-c.tasks:
		return c1.BatonServiceGetTaskResponse_builder{Task: task}.Build(), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// closeOnce closes a channel unless it is closed. Calls for one channel must not be
// concurrent: a connector calls Hello and GetTask in turn.
func closeOnce(done chan struct{}) {
	select {
	case <-done:
	default:
		close(done)
	}
}

// Heartbeat is called during long tasks.
func (c *conductorOne) Heartbeat(context.Context, *c1.BatonServiceHeartbeatRequest) (*c1.BatonServiceHeartbeatResponse, error) {
	return &c1.BatonServiceHeartbeatResponse{}, nil
}

// UploadAsset takes the file of a sync.
func (c *conductorOne) UploadAsset(stream grpc.ClientStreamingServer[c1.BatonServiceUploadAssetRequest, c1.BatonServiceUploadAssetResponse]) error {
	closeOnce(c.uploading)
	select {
	case <-c.upload:
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
	var file []byte
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		file = append(file, part.GetData().GetData()...)
	}
	c.uploads <- file
	return stream.SendAndClose(&c1.BatonServiceUploadAssetResponse{})
}

// FinishTask takes the outcome of a task.
func (c *conductorOne) FinishTask(ctx context.Context, r *c1.BatonServiceFinishTaskRequest) (*c1.BatonServiceFinishTaskResponse, error) {
	select {
	case c.finished <- r:
		return &c1.BatonServiceFinishTaskResponse{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
