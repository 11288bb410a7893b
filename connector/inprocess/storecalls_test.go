package inprocess_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/conductorone/baton-sdk/pkg/types/sessions"

	"github.com/baton-segment/baton-segment/connector/inprocess"
	"github.com/baton-segment/baton-segment/segmentapi/segmentapitest"
)

// callCounter is a session store that counts the calls that it gets.
type callCounter struct {
	sessions.SessionStore
	calls *atomic.Int32
}

func (c callCounter) Get(ctx context.Context, key string, opts ...sessions.SessionStoreOption) ([]byte, bool, error) {
	c.calls.Add(1)
	return c.SessionStore.Get(ctx, key, opts...)
}

func (c callCounter) GetMany(ctx context.Context, keys []string, opts ...sessions.SessionStoreOption) (map[string][]byte, []string, error) {
	c.calls.Add(1)
	return c.SessionStore.GetMany(ctx, keys, opts...)
}

func (c callCounter) GetAll(ctx context.Context, token string, opts ...sessions.SessionStoreOption) (map[string][]byte, string, error) {
	c.calls.Add(1)
	return c.SessionStore.GetAll(ctx, token, opts...)
}

func (c callCounter) Set(ctx context.Context, key string, value []byte, opts ...sessions.SessionStoreOption) error {
	c.calls.Add(1)
	return c.SessionStore.Set(ctx, key, value, opts...)
}

func (c callCounter) SetMany(ctx context.Context, values map[string][]byte, opts ...sessions.SessionStoreOption) error {
	c.calls.Add(1)
	return c.SessionStore.SetMany(ctx, values, opts...)
}

// A sync makes fewer than three calls of the session store for each request, however
// the users are divided among the workers.
func TestSync_StoreCalls(t *testing.T) {
	t.Parallel()
	s := segmentapitest.NewServer(t, segmentapitest.WithWorkspace("sized:users=200,groups=10,sources=20"))
	var calls atomic.Int32
	r := newRunner(t, newConnector(t, s), inprocess.WithSessionStore(func(store sessions.SessionStore) sessions.SessionStore {
		return callCounter{store, &calls}
	}))
	if err := r.Sync(t.Context(), filepath.Join(t.TempDir(), "sync.c1z")); err != nil {
		t.Fatal(err)
	}
	requests := len(s.Requests())
	t.Logf("%d calls of the store for %d requests", calls.Load(), requests)
	if got := int(calls.Load()); got > 3*requests {
		t.Errorf("%d calls of the store for %d requests", got, requests)
	}
}
