package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/cmd/baton-segment/internal/writing"
)

// A server makes every change by one function.
type server struct {
	types.ConnectorServer
	change func(context.Context) error
}

func (s server) Grant(ctx context.Context, _ *v2.GrantManagerServiceGrantRequest) (*v2.GrantManagerServiceGrantResponse, error) {
	return &v2.GrantManagerServiceGrantResponse{}, s.change(ctx)
}

func (s server) Revoke(ctx context.Context, _ *v2.GrantManagerServiceRevokeRequest) (*v2.GrantManagerServiceRevokeResponse, error) {
	return &v2.GrantManagerServiceRevokeResponse{}, s.change(ctx)
}

func (s server) CreateAccount(ctx context.Context, _ *v2.CreateAccountRequest) (*v2.CreateAccountResponse, error) {
	return &v2.CreateAccountResponse{}, s.change(ctx)
}

func (s server) CreateResource(ctx context.Context, _ *v2.CreateResourceRequest) (*v2.CreateResourceResponse, error) {
	return &v2.CreateResourceResponse{}, s.change(ctx)
}

func (s server) DeleteResource(ctx context.Context, _ *v2.DeleteResourceRequest) (*v2.DeleteResourceResponse, error) {
	return &v2.DeleteResourceResponse{}, s.change(ctx)
}

func (s server) DeleteResourceV2(ctx context.Context, _ *v2.DeleteResourceV2Request) (*v2.DeleteResourceV2Response, error) {
	return &v2.DeleteResourceV2Response{}, s.change(ctx)
}

// calls are the calls that make changes, with their description.
func calls() map[string]func(context.Context, types.ConnectorServer) error {
	id := v2.ResourceId_builder{ResourceType: "user", Resource: "u"}.Build()
	user := v2.Resource_builder{Id: id}.Build()
	role := v2.Entitlement_builder{Id: "role:r:assigned"}.Build()
	return map[string]func(context.Context, types.ConnectorServer) error{
		"granting role:r:assigned to user u": func(ctx context.Context, s types.ConnectorServer) error {
			_, err := s.Grant(ctx, v2.GrantManagerServiceGrantRequest_builder{Entitlement: role, Principal: user}.Build())
			return err
		},
		"revoking role:r:assigned from user u": func(ctx context.Context, s types.ConnectorServer) error {
			_, err := s.Revoke(ctx, v2.GrantManagerServiceRevokeRequest_builder{Grant: v2.Grant_builder{Entitlement: role, Principal: user}.Build()}.Build())
			return err
		},
		"creating an account": func(ctx context.Context, s types.ConnectorServer) error {
			_, err := s.CreateAccount(ctx, &v2.CreateAccountRequest{})
			return err
		},
		"creating a user": func(ctx context.Context, s types.ConnectorServer) error {
			_, err := s.CreateResource(ctx, v2.CreateResourceRequest_builder{Resource: user}.Build())
			return err
		},
		"deleting user u": func(ctx context.Context, s types.ConnectorServer) error {
			_, err := s.DeleteResource(ctx, v2.DeleteResourceRequest_builder{ResourceId: id}.Build())
			if err != nil {
				return err
			}
			_, err = s.DeleteResourceV2(ctx, v2.DeleteResourceV2Request_builder{ResourceId: id}.Build())
			return err
		},
	}
}

// register returns the register of a parent and a reporter to it.
func register(t *testing.T) (*writing.Register, writing.Reporter) {
	t.Helper()
	r, err := writing.Listen(t.TempDir(), func() bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Setenv(r.Env())
	return r, writing.FromEnv()
}

// Every call that makes a change is in the register while it runs.
func TestChangeServer_ReportsChanges(t *testing.T) {
	for what, call := range calls() {
		r, reporter := register(t) // Of its own: the end of a change reaches the register later.
		made := 0
		s := changeServer{server{change: func(context.Context) error {
			made++
			if underWay := r.UnderWay(); len(underWay) != 1 || underWay[0] != what {
				t.Errorf("under way: %q, want %q", underWay, what)
			}
			return nil
		}}, reporter, nil}
		if err := call(t.Context(), s); err != nil || made == 0 {
			t.Errorf("%s: made %d times, %v", what, made, err)
		}
	}
}

// A change that a stop interrupts may still succeed. If it fails for the lack of
// another try, the run was stopped; every other error is the change's own.
func TestChangeServer_Stopped(t *testing.T) {
	for _, c := range []struct {
		err  error
		want codes.Code
	}{
		{nil, codes.OK},
		{status.Error(codes.Unavailable, "rate limit"), codes.Canceled},
		{fmt.Errorf("grant failed: %w", status.Error(codes.Unavailable, "rate limit")), codes.Canceled},
		{status.Error(codes.Canceled, "context canceled"), codes.Canceled},
		{status.Error(codes.DeadlineExceeded, "too late"), codes.Canceled},
		{status.Error(codes.FailedPrecondition, "last owner"), codes.FailedPrecondition},
		{status.Error(codes.Aborted, "not given back"), codes.Aborted},
	} {
		t.Run(fmt.Sprint(c.err), func(t *testing.T) {
			r, reporter := register(t)
			s := changeServer{server{change: func(ctx context.Context) error {
				go r.Stop()
				<-ctx.Done()
				return c.err
			}}, reporter, nil}
			_, err := s.Grant(t.Context(), &v2.GrantManagerServiceGrantRequest{})
			if status.Code(err) != c.want {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// Without a stop errors are left as they are, even if the caller has left.
func TestChangeServer_CallerLeft(t *testing.T) {
	_, reporter := register(t)
	ctx, cancel := context.WithCancel(t.Context())
	want := status.Error(codes.Unavailable, "rate limit")
	s := changeServer{server{change: func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return want
	}}, reporter, nil}
	if _, err := s.Grant(ctx, &v2.GrantManagerServiceGrantRequest{}); !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}

// After a stop no change is made.
func TestChangeServer_AfterStop(t *testing.T) {
	r, reporter := register(t)
	r.Stop()
	for what, call := range calls() {
		s := changeServer{server{change: func(context.Context) error {
			t.Errorf("%s: made", what)
			return nil
		}}, reporter, nil}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := call(ctx, s); status.Code(err) != codes.Canceled {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// If the parent cannot be reached, a change is made all the same.
func TestChangeServer_NoParent(t *testing.T) {
	t.Setenv("BATON_SEGMENT_CHANGES", "unix secret "+t.TempDir()+"/none")
	made := false
	s := changeServer{server{change: func(context.Context) error { made = true; return nil }}, writing.FromEnv(), nil}
	if _, err := s.Grant(t.Context(), &v2.GrantManagerServiceGrantRequest{}); err != nil || !made {
		t.Errorf("made %v, %v", made, err)
	}
}
