package sim

import (
	"net/http"
	"strconv"
	"strings"
)

// endlessCursor begins the cursors of a list without an end.
const endlessCursor = "endless-"

// endlessPages makes a mishap that answers each page of a list with the first one,
// changed, and with a new cursor.
func endlessPages(edit func(data map[string]any)) mishap {
	return func(_ *Fault, r *http.Request, handle func() *answer) *answer {
		q, n := r.URL.Query(), 0
		if cursor, there := pageParameter(q, "cursor"); there {
			if page, err := strconv.Atoi(strings.TrimPrefix(cursor, endlessCursor)); err == nil {
				n = page
			}
		}
		for _, key := range pageParameterKeys("cursor") {
			q.Del(key)
		}
		u := *r.URL
		u.RawQuery = q.Encode()
		r.URL = &u
		return editData(handle(), func(data map[string]any) {
			if p, paged := data["pagination"].(map[string]any); paged {
				p["next"] = endlessCursor + strconv.Itoa(n+1)
				edit(data)
			}
		})
	}
}

// emptyRows removes all rows from a list.
func emptyRows(data map[string]any) {
	for key, value := range data {
		if _, rows := value.([]any); rows {
			data[key] = []any{}
		}
	}
}
