package segmentapi

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// A finder looks for the one row of a list that a text identifies. It must see all rows,
// so that it does not miss a second match.
type finder[T any] struct {
	call
	// kind is what a row is, and text what is looked for, as in `the name "Marketing"`.
	// Both are for errors.
	kind, text string
	id         func(T) string
	// exact reports whether the text identifies a row exactly, and alike whether it does if
	// the case of letters is ignored. An exact match wins. exact may be nil.
	exact, alike func(T) bool

	// The rows that the text identifies, by id: a row may move to a later page and
	// appear again.
	foundExact, foundAlike map[string]T
}

// find looks for a row in a list.
func find[T any](rows iter.Seq2[T, error], f finder[T]) (*T, error) {
	for row, err := range rows {
		if err != nil {
			return nil, withoutNotFound(err)
		}
		f.see(row)
	}
	return f.result()
}

// see notes a row that matches.
func (f *finder[T]) see(row T) {
	found := &f.foundExact
	switch {
	case f.exact != nil && f.exact(row):
	case f.alike(row):
		found = &f.foundAlike
	default:
		return
	}
	if *found == nil {
		*found = map[string]T{}
	}
	(*found)[f.id(row)] = row
}

// result returns the row that was found, after all were seen.
func (f *finder[T]) result() (*T, error) {
	found := f.foundExact
	if len(found) == 0 {
		found = f.foundAlike
	}
	ids := slices.Sorted(maps.Keys(found))
	switch len(ids) {
	case 0:
		return nil, f.failed(ErrNotFound, fmt.Sprintf("no %s has %s", f.kind, f.text))
	case 1:
		row := found[ids[0]]
		return &row, nil
	}
	return nil, f.failed(ErrAmbiguous, fmt.Sprintf("the %ss %s have %s", f.kind, strings.Join(ids, " and "), f.text))
}

func (f *finder[T]) failed(kind error, why string) error {
	return &Error{Operation: f.operation, Method: f.method, Path: f.path, kind: kind, cause: errors.New(why)}
}

// errListNotFound is the kind of a 404 for a list. It proves nothing about the rows, so it
// does not match [ErrNotFound].
var errListNotFound = errors.New("the list was not found")

// withoutNotFound returns err, or an error in its place that does not match ErrNotFound.
func withoutNotFound(err error) error {
	var e *Error
	if !errors.As(err, &e) || e.StatusCode != http.StatusNotFound {
		return err
	}
	of := *e
	of.kind, of.cause = errListNotFound, fmt.Errorf("%d %s", e.StatusCode, http.StatusText(e.StatusCode))
	return &of
}
