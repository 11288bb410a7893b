package e2e

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// labelIDs returns the ids of single labels, sorted by key and value, without
// duplicates.
func labelIDs(labels []sim.Label) []string {
	escaped := func(s string) string {
		for _, c := range []string{"%", "=", ",", ":"} {
			s = strings.ReplaceAll(s, c, "%"+strings.ToUpper(hex.EncodeToString([]byte(c))))
		}
		return s
	}
	var ids []string
	for _, l := range labelSet(labels) {
		ids = append(ids, escaped(l.Key)+"="+escaped(l.Value))
	}
	return ids
}

// labelSetID returns the id of a set of labels. A long one is a hash, because
// Baton limits the length of ids.
func labelSetID(labels []sim.Label) string {
	id := strings.Join(labelIDs(labels), ",")
	if len(id) > 512 {
		return "sha256-" + hex.EncodeToString(sum256(id))
	}
	return id
}

func sum256(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

func labelSetText(labels []sim.Label) string {
	var texts []string
	for _, l := range labelSet(labels) {
		texts = append(texts, l.Key+"="+l.Value)
	}
	return strings.Join(texts, " and ")
}

func labelSet(labels []sim.Label) []sim.Label {
	set := map[sim.Label]bool{}
	for _, l := range labels {
		set[sim.Label{Key: l.Key, Value: l.Value}] = true
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b sim.Label) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.Value, b.Value))
	})
}

// firstNonBlank returns the display text of the first candidate that has any.
func firstNonBlank(candidates ...string) string {
	for _, c := range candidates {
		if name := displayText(c); name != "" {
			return name
		}
	}
	return ""
}

// displayText trims and shortens a string as display names do.
func displayText(s string) string { return clipped(strings.TrimSpace(s)) }

// clipped returns the beginning of a string: at most 1024 bytes, and only whole
// characters.
func clipped(s string) string {
	for len(s) > 1024 {
		_, last := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-last]
	}
	return s
}

// validEmail returns an e-mail address, or "" if Baton rejects it.
func validEmail(email string) string {
	if (v2.UserTrait_Email_builder{Address: email}).Build().Validate() != nil {
		return ""
	}
	return email
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// toAny converts strings to the type that a profile has when it is read back.
func toAny(in []string) []any {
	out := make([]any, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}

// warehouseName returns the name in a warehouse's settings. Some workspaces hold names
// that are JSON strings.
func warehouseName(setting any) string {
	name, isString := setting.(string)
	if !isString || !strings.HasPrefix(name, `"`) {
		return name
	}
	var value any
	if json.Unmarshal([]byte(name), &value) != nil {
		return name
	}
	unquoted, isString := value.(string)
	if !isString {
		return name
	}
	return unquoted
}

// servedName returns the name of a function as the API returns it: with that of the
// workspace, for three of the types.
func servedName(ws *sim.Workspace, f sim.Function) string {
	if f.DisplayName != nil && slices.Contains([]string{"DESTINATION", "INSERT_DESTINATION", "INSERT_SOURCE"}, f.ResourceType) {
		return fmt.Sprintf("%s (%s)", *f.DisplayName, ws.Name)
	}
	return text(f.DisplayName)
}

// isUsersEmail reports whether a user has the address, with A to Z in any case.
func isUsersEmail(ws *sim.Workspace, email string) bool {
	lower := func(s string) string {
		return strings.Map(func(r rune) rune {
			if 'A' <= r && r <= 'Z' {
				return r + 'a' - 'A'
			}
			return r
		}, s)
	}
	return email != "" && slices.ContainsFunc(ws.Users, func(u sim.User) bool { return lower(u.Email) == lower(email) })
}
