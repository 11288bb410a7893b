package sim

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

const (
	// defaultCount is the page size of a request that names none, by the newer copy
	// of the documentation. In the older copy such a request fails validation.
	defaultCount = 200
	maxCount     = 1000
)

// A NextForm is how the last page of a list shows that it is the last. All three are
// documented or have been observed.
type NextForm int

// The forms of a pagination's next, and of previous on the first page.
const (
	// NextAbsent leaves the field out, as the documentation says.
	NextAbsent NextForm = iota
	// NextNull sends null, as a documented sample does for previous.
	NextNull
	// NextEmpty sends an empty string.
	NextEmpty
)

// A numbering is the form of the cursors of a list.
type numbering struct {
	// first is the index of the first row. It is 0 in documented samples, except that of
	// functions, where it is 1.
	first int
	// suffix is after the index.
	suffix string
}

func (n numbering) cursor(offset int) string {
	return base64.StdEncoding.EncodeToString([]byte(strconv.Itoa(offset+n.first) + n.suffix))
}

func (n numbering) offset(cursor string) (int, bool) {
	b, err := base64.StdEncoding.DecodeString(cursor)
	if err != nil {
		return 0, false
	}
	offset, err := strconv.Atoi(strings.TrimSuffix(string(b), n.suffix))
	if err != nil || offset < n.first || n.cursor(offset-n.first) != cursor {
		return 0, false
	}
	return offset - n.first, true
}

// A window is the part of a list that a request asks for.
type window struct {
	offset, count int
}

// parseWindow reads the pagination of a request in both spellings: the
// official clients send pagination[count], the documentation shows
// pagination.count. No list takes more rows than most.
func parseWindow(q url.Values, n numbering, most int) (window, *problem) {
	w := window{count: defaultCount}
	if s, ok := pageParameter(q, "count"); ok {
		count, err := strconv.Atoi(s)
		if err != nil || count < 1 || count > most {
			return window{}, invalid("pagination.count", fmt.Sprintf("must be an integer between 1 and %d", most))
		}
		w.count = count
	}
	if s, ok := pageParameter(q, "cursor"); ok {
		offset, valid := n.offset(s)
		if !valid {
			return window{}, unknownCursor()
		}
		w.offset = offset
	}
	return w, nil
}

// unknownCursor refuses a cursor that is not of the list or has expired. Segment's
// answer is not documented. 422 is its answer to other input that fails validation.
func unknownCursor() *problem {
	return invalid("pagination.cursor", "is not a cursor of this list")
}

// pageParameterKeys are the two spellings of a parameter.
func pageParameterKeys(name string) []string {
	return []string{"pagination[" + name + "]", "pagination." + name}
}

func pageParameter(q url.Values, name string) (string, bool) {
	for _, key := range pageParameterKeys(name) {
		if q.Has(key) {
			return q.Get(key), true
		}
	}
	return "", false
}

// A listing is the rows of a list, and how the list is paged.
type listing[T any] struct {
	rows      []T
	numbering numbering
	// withoutTotal is set for lists without totalEntries.
	withoutTotal bool
	// lastWithoutPagination is set if the last page has no pagination.
	lastWithoutPagination bool
}

// page returns the requested part of l with its rows converted. If rows have been
// removed and the cursor is beyond the end, the page is empty and the last.
func page[T, W any](c *call, key string, l listing[T], row func(T) W) (reply, *problem) {
	w, p := parseWindow(c.query, l.numbering, max(maxCount, c.maxCount))
	if p == nil && w.count > c.maxCount {
		p = countRefused(c.maxCount)
	}
	if p != nil {
		return reply{}, p
	}
	start := min(w.offset, len(l.rows))
	end := min(start+w.count, len(l.rows))
	rows := make([]W, 0, end-start)
	for _, r := range l.rows[start:end] {
		rows = append(rows, row(r))
	}
	if l.lastWithoutPagination && end == len(l.rows) {
		return ok(map[string]any{key: rows}), nil
	}
	info := map[string]any{"current": l.numbering.cursor(w.offset)}
	if !l.withoutTotal {
		info["totalEntries"] = len(l.rows)
	}
	link := func(name string, there bool, offset int) {
		switch {
		case there:
			info[name] = l.numbering.cursor(offset)
		case c.next == NextNull:
			info[name] = nil
		case c.next == NextEmpty:
			info[name] = ""
		}
	}
	link("next", end < len(l.rows), end)
	link("previous", w.offset > 0, max(0, w.offset-w.count))
	return ok(map[string]any{key: rows, "pagination": info}), nil
}
