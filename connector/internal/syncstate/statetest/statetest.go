// Package statetest has a session store for tests.
package statetest

import (
	"context"
	"maps"
	"strings"
	"sync"

	"github.com/conductorone/baton-sdk/pkg/types/sessions"
)

var _ sessions.SessionStore = (*Memory)(nil)

// Memory is a session store in memory. It joins prefixes and keys as the SDK's
// pebble store does. Values are by joined key.
type Memory struct {
	mu     sync.Mutex
	Values map[string][]byte
}

// New returns an empty store.
func New() *Memory { return &Memory{Values: map[string][]byte{}} }

// Key joins the prefix in options and a key.
func (m *Memory) Key(ctx context.Context, key string, opts []sessions.SessionStoreOption) (string, error) {
	var bag sessions.SessionStoreBag
	for _, opt := range opts {
		if err := opt(ctx, &bag); err != nil {
			return "", err
		}
	}
	return bag.Prefix + key, nil
}

// Get returns the value of one key.
func (m *Memory) Get(ctx context.Context, key string, opts ...sessions.SessionStoreOption) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	full, err := m.Key(ctx, key, opts)
	value, ok := m.Values[full]
	return value, ok, err
}

// GetMany returns the values of the keys that are there.
func (m *Memory) GetMany(ctx context.Context, keys []string, opts ...sessions.SessionStoreOption) (map[string][]byte, []string, error) {
	found := map[string][]byte{}
	for _, key := range keys {
		value, ok, err := m.Get(ctx, key, opts...)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			found[key] = value
		}
	}
	return found, nil, nil
}

// Set stores one value.
func (m *Memory) Set(ctx context.Context, key string, value []byte, opts ...sessions.SessionStoreOption) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	full, err := m.Key(ctx, key, opts)
	m.Values[full] = value
	return err
}

// SetMany stores values.
func (m *Memory) SetMany(ctx context.Context, values map[string][]byte, opts ...sessions.SessionStoreOption) error {
	for key, value := range values {
		if err := m.Set(ctx, key, value, opts...); err != nil {
			return err
		}
	}
	return nil
}

// Delete removes one key.
func (m *Memory) Delete(ctx context.Context, key string, opts ...sessions.SessionStoreOption) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	full, err := m.Key(ctx, key, opts)
	delete(m.Values, full)
	return err
}

// Clear removes all keys with the prefix.
func (m *Memory) Clear(ctx context.Context, opts ...sessions.SessionStoreOption) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	prefix, err := m.Key(ctx, "", opts)
	maps.DeleteFunc(m.Values, func(key string, _ []byte) bool { return strings.HasPrefix(key, prefix) })
	return err
}

// GetAll returns all values whose keys have the prefix, without it, in one page.
func (m *Memory) GetAll(ctx context.Context, _ string, opts ...sessions.SessionStoreOption) (map[string][]byte, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	prefix, err := m.Key(ctx, "", opts)
	found := map[string][]byte{}
	for key, value := range maps.All(m.Values) {
		if short, ok := strings.CutPrefix(key, prefix); ok {
			found[short] = value
		}
	}
	return found, "", err
}
