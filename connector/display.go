package connector

import (
	"strings"
	"unicode/utf8"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
)

// Limits of Baton's wire format, in bytes.
const (
	maxDisplayName = 1024
	maxDescription = 2048
)

// displayName is the first candidate that has something to show.
func displayName(candidates ...string) string {
	for _, name := range candidates {
		if name = clip(strings.TrimSpace(name), maxDisplayName); name != "" {
			return name
		}
	}
	return "(unnamed)"
}

// clip makes s valid UTF-8 of at most limit bytes, without splitting a
// character.
func clip(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

func resourceID(typeID, id string) *v2.ResourceId {
	return v2.ResourceId_builder{ResourceType: typeID, Resource: id}.Build()
}

// stub stands for a resource that has a row elsewhere.
func stub(typeID, id string) *v2.Resource {
	return v2.Resource_builder{Id: resourceID(typeID, id)}.Build()
}
