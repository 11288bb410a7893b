package contract

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
	segment "github.com/segmentio/public-api-sdk-go/api"
)

// compare compares the schemas with the official client's models.
func (b *builder) compare() []error {
	execute, _ := b.method.Type.Out(0).MethodByName("Execute")
	var problems []error
	for status, ref := range b.spec.Responses.Map() {
		model := reflect.TypeFor[segment.RequestErrorEnvelope]()
		if status[0] == '2' {
			model = execute.Type.Out(0)
			if want := b.method.Name + status + "Response"; model.Elem().Name() != want {
				problems = append(problems, fmt.Errorf("%s is not the official client's %s", want, model.Elem().Name()))
			}
			// The generator makes data optional, but by the documentation each success has it.
			data, ok := model.Elem().FieldByName("Data")
			if !ok {
				return append(problems, fmt.Errorf("%s has no Data", model))
			}
			schema := jsonSchema(ref.Value.Content)
			problems = append(problems, compareSchema("/data", schema.Properties["data"], data.Type)...)
			continue
		}
		problems = append(problems, compareSchema("", ref.Value.Content.Get("application/json").Schema, model)...)
	}
	if setter, ok := b.setter["body"]; ok {
		schema := b.spec.RequestBody.Value.Content.Get("application/json").Schema
		problems = append(problems, compareSchema("", schema, setter.Type.In(1))...)
	}
	return problems
}

func jsonSchema(content openapi3.Content) *openapi3.Schema {
	return content.Get("application/json").Schema.Value
}

// compareSchema returns the differences for which the contract names no evidence.
func compareSchema(path string, ref *openapi3.SchemaRef, model reflect.Type) []error {
	schema := ref.Value
	nullable := false
	if model.Kind() == reflect.Pointer {
		model, nullable = model.Elem(), true
	}
	if get, ok := reflect.PointerTo(model).MethodByName("Get"); ok && strings.HasPrefix(model.Name(), "Nullable") {
		model, nullable = get.Type.Out(0).Elem(), true
	}
	var problems []error
	mismatch := func(what string) {
		problems = append(problems, fmt.Errorf("%s: %s does not fit the official client's %s", path, what, model))
	}
	if schema.Nullable && !nullable {
		mismatch("null")
	}
	switch {
	case schema.Type == nil:
		if model.Kind() != reflect.Interface {
			mismatch("any")
		}
	case schema.Type.Is("string"):
		if model.Kind() != reflect.String {
			mismatch("string")
		}
	case schema.Type.Is("boolean"):
		if model.Kind() != reflect.Bool {
			mismatch("boolean")
		}
	case schema.Type.Is("number"):
		if model.Kind() != reflect.Float32 {
			mismatch("number")
		}
	case schema.Type.Is("array"):
		if model.Kind() != reflect.Slice {
			mismatch("array")
			break
		}
		problems = append(problems, compareSchema(path+"/0", schema.Items, model.Elem())...)
	case schema.Type.Is("object") && schema.Properties == nil:
		if model.Kind() != reflect.Map {
			mismatch("object")
		}
	case schema.Type.Is("object") && model.Kind() == reflect.Struct:
		problems = append(problems, compareObject(path, schema, model)...)
	default:
		mismatch(fmt.Sprint(*schema.Type))
	}
	return problems
}

func compareObject(path string, schema *openapi3.Schema, model reflect.Type) []error {
	var problems []error
	fields := make(map[string]reflect.StructField)
	for _, field := range reflect.VisibleFields(model) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields[name] = field
	}
	for name, property := range schema.Properties {
		at := path + "/" + name
		_, evidence := property.Value.Extensions["x-evidence"]
		field, ok := fields[name]
		if !ok {
			if !evidence {
				problems = append(problems, fmt.Errorf("%s: not in the official client's %s", at, model.Name()))
			}
			continue
		}
		here, there := slices.Contains(schema.Required, name), !strings.HasSuffix(field.Tag.Get("json"), ",omitempty")
		if here != there && !evidence {
			problems = append(problems, fmt.Errorf("%s: required is %t here and %t in the official client", at, here, there))
		}
		problems = append(problems, compareSchema(at, property, field.Type)...)
	}
	for name, field := range fields {
		if _, ok := schema.Properties[name]; !ok && !strings.HasSuffix(field.Tag.Get("json"), ",omitempty") {
			problems = append(problems, fmt.Errorf("%s/%s: required by the official client, not in the contract", path, name))
		}
	}
	return problems
}

// missing returns the parts of want that got lacks, except for fields that only the contract has.
func missing(path string, want, got any, schema *openapi3.Schema) []error {
	switch want := want.(type) {
	case nil:
		return nil
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			break
		}
		var problems []error
		for name, value := range want {
			property := schema.Properties[name]
			if property == nil {
				property = openapi3.NewSchemaRef("", openapi3.NewSchema())
			}
			if _, evidence := property.Value.Extensions["x-evidence"]; evidence && object[name] == nil {
				continue
			}
			problems = append(problems, missing(path+"/"+name, value, object[name], property.Value)...)
		}
		return problems
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			break
		}
		items := openapi3.NewSchema()
		if schema.Items != nil {
			items = schema.Items.Value
		}
		var problems []error
		for i, value := range want {
			problems = append(problems, missing(fmt.Sprintf("%s/%d", path, i), value, list[i], items)...)
		}
		return problems
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return []error{fmt.Errorf("%s (-sent +read):\n%s", path, diff)}
	}
	return nil
}
