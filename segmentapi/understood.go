package segmentapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The fields of permissions that a write can send, and those that may be read and
// lost because Segment sets them itself.
var (
	permissionFields = []string{"roleId", "resources", "labels"}
	resourceFields   = []string{"id", "type", "labels"}
	labelFields      = []string{"key", "value"}
	harmlessFields   = []string{"policyId", "subjectId", "subjectType", "roleName", "description"}
)

// checkPermissionFields reads the permissions in the answer about a user or a group.
// It reports whether the answer has any, and returns an error if a replacement would
// lose something: a field that cannot be sent back, or a role on nothing.
func checkPermissionFields(body []byte) (bool, error) {
	var answer struct {
		Data struct {
			User      *subjectFields `json:"user"`
			UserGroup *subjectFields `json:"userGroup"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return false, fmt.Errorf("%w: %w", ErrNotUnderstood, err)
	}
	read := cmp.Or(answer.Data.User, answer.Data.UserGroup)
	if read == nil || read.Permissions == nil {
		return false, nil
	}
	for _, p := range read.Permissions {
		role := strings.Trim(cmp.Or(rawText(p["roleName"]), rawText(p["roleId"])), `"`)
		if field := unknownField(p, permissionFields); field != "" {
			return true, fmt.Errorf("%w: the permission of role %s has the field %q", ErrNotUnderstood, role, field)
		}
		resources := objects(p["resources"])
		if len(resources) == 0 {
			return true, fmt.Errorf("%w: the permission of role %s has no resource", ErrNotUnderstood, role)
		}
		labels := objects(p["labels"])
		for _, r := range resources {
			if field := unknownField(r, resourceFields); field != "" {
				return true, fmt.Errorf("%w: a resource of role %s has the field %q", ErrNotUnderstood, role, field)
			}
			labels = append(labels, objects(r["labels"])...)
		}
		for _, l := range labels {
			if field := unknownField(l, labelFields); field != "" {
				return true, fmt.Errorf("%w: a label of role %s has the field %q", ErrNotUnderstood, role, field)
			}
		}
	}
	return true, nil
}

type subjectFields struct {
	Permissions []map[string]json.RawMessage `json:"permissions"`
}

// unknownField returns the first field with a value that is neither known nor
// harmless.
func unknownField(object map[string]json.RawMessage, known []string) string {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if !slices.Contains(known, name) && !slices.Contains(harmlessFields, name) && rawText(object[name]) != "" {
			return name
		}
	}
	return ""
}

// rawText returns the JSON of a value, or nothing for null.
func rawText(raw json.RawMessage) string {
	if text := string(raw); text != "null" {
		return text
	}
	return ""
}

// objects returns the objects in a list. The official client has decoded the same
// answer, so the types are right.
func objects(raw json.RawMessage) []map[string]json.RawMessage {
	var out []map[string]json.RawMessage
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil
	}
	return out
}
