package sim

import (
	"fmt"
	"strings"
)

// Named returns a workspace by name: "empty", "demo", "hostile", or "sized:" and a size
// for ParseSize, such as "sized:users=1000,groups=50".
func Named(name string) (*Workspace, error) {
	switch name {
	case "empty":
		return Empty(), nil
	case "demo":
		return Demo(), nil
	case "hostile":
		return Hostile(), nil
	}
	size, sized := strings.CutPrefix(name, "sized:")
	if !sized {
		return nil, fmt.Errorf("sim: no workspace %q: there are empty, demo, hostile and sized:users=1000,…", name)
	}
	z, err := ParseSize(size)
	if err != nil {
		return nil, err
	}
	return Sized(z), nil
}

// Empty returns a workspace that has only the built-in roles and the default labels,
// as all workspaces do.
func Empty() *Workspace {
	return &Workspace{
		ID:     "9aQ1Lj62S4bomZKLF4DPqW",
		Slug:   "empty",
		Name:   "Empty",
		Roles:  builtInRoles(),
		Labels: defaultLabels(),
	}
}

// Ids of built-in roles. If none is documented, the id is invented and the name has
// Made in it.
const (
	roleOwner               = "1WDUuRLxv84rrfCNUwvkrRtkxnS"
	roleMinimal             = "1aEWAcU0fArxScocwH9xxLgW7r3"
	roleSourceAdmin         = "1WDUuSF1kN1xis2lp09RVKOsnnL"
	roleSourceReadOnly      = "1WDUuNOXQYGLtEI7LcfBMpvU9ll"
	roleFunctionsAdmin      = "1WDUuUTNtbdpyJV0KPQzlHVkewe"
	roleFunctionsReadOnly   = "1Y86RP8BjOpdJtb5FbH0Z2M57PX"
	roleWarehouseAdmin      = "1WDUuY68jLTuIRC6DzqM6zKnkSf"
	roleWarehouseReadOnly   = "1WDUuYzBBvlpH0Oq4hPVMw7OsiW"
	roleEngageAdmin         = "1WDUuSVopUPUzSLNKqvG6uCiFtq"
	roleEngageReadOnlyMade  = "1WDUuMade0EngageReadOnly001"
	roleEngageUserMade      = "1WDUuMade0UnifyROEngageUser"
	roleIdentityAdmin       = "1Ttjwdg1SEGKH5hfg8heUBlfXGK"
	roleTrackingAdmin       = "1WDUuSmhpuFwR0dtYcgzeiGnmDr"
	roleTrackingReadOnly    = "1WDUuWtxCUipR4uma0pqqZ8T2Qq"
	rolePrivacyAdmin        = "1dsSKGeBDUTGJ1QoZTtymZq949J"
	roleEntitiesAdminMade   = "1WDUuMade00EntitiesAdmin001"
	roleEntitiesReadMade    = "1WDUuMade0EntitiesReadOnly1"
	rolePIIAccess           = "1ZxBLEwfZgYG3olVPxkc7e35Wue"
	roleObservabilityAdmin  = "Ez2WdbOWYfaD4aBhNghPaLjbHdf"
	roleObservabilityReader = "Ez2WdbPQZ6kF5vNxM8rHwT9cLmK"
)

func builtInRoles() []Role {
	return []Role{
		{roleOwner, "Workspace Owner", "Owners have full read and edit access to everything in the workspace, including Sources, Destinations, add-on products, and settings. Owners have full edit access to all Team Permissions."},
		{roleMinimal, minimalAccess, "Access to view the workspace. Cannot view any sub resources or make changes to the workspace."},
		{roleSourceAdmin, "Source Admin", "Edit assigned sources: settings, streaming destinations, schema, write key and debugger."},
		{roleSourceReadOnly, "Source Read-only", "View assigned sources: settings, streaming destinations, schema, write key and debugger."},
		{roleFunctionsAdmin, "Functions Admin", "Create, edit and delete assigned functions."},
		{roleFunctionsReadOnly, "Functions Read-only", "View assigned functions."},
		{roleWarehouseAdmin, "Warehouse Destination Admin", "Edit all warehouse destinations and their settings."},
		{roleWarehouseReadOnly, "Warehouse Destination Read-only", "View all warehouse destinations and their settings."},
		{roleEngageAdmin, "Unify and Engage Admin", "Edit Unify settings, audiences, traits, journeys and content in assigned spaces."},
		{roleEngageReadOnlyMade, "Unify and Engage Read-only", "View audiences, traits, journeys and content in assigned spaces."},
		{roleEngageUserMade, "Unify Read-only, Engage User", "View Unify and edit Engage in assigned spaces."},
		{roleIdentityAdmin, "Identity Admin", "Edit the identity settings of Unify."},
		{roleTrackingAdmin, "Tracking Plan Admin", "Edit all tracking plans."},
		{roleTrackingReadOnly, "Tracking Plan Read-only", "View all tracking plans."},
		{rolePrivacyAdmin, "End User Privacy Admin", "Edit privacy settings, deletion and suppression."},
		{roleEntitiesAdminMade, "Entities Admin", "Edit entity models and their connection details."},
		{roleEntitiesReadMade, "Entities Read-only", "View entity models."},
		{rolePIIAccess, "PII Access", "View personal data in whatever is accessible already."},
		{roleObservabilityAdmin, "Observability Admin", "Edit observability."},
		{roleObservabilityReader, "Observability Read-only", "View observability."},
	}
}

func defaultLabels() []Label {
	return []Label{
		{Key: "environment", Value: "dev", Description: "Development"},
		{Key: "environment", Value: "prod", Description: "Production"},
	}
}

// Demo returns the workspace of a company of about forty people that sells bicycles
// over the web. It is the same at every call, and all people in it are invented. Values
// that are secret in a real workspace begin with SECRET-.
func Demo() *Workspace {
	w := &Workspace{
		ID:    "hX5kzTqWvN2bRc8JmYpL4d",
		Slug:  "velo-northwind",
		Name:  "Velo Northwind",
		Roles: builtInRoles(),
		Labels: append(defaultLabels(),
			Label{Key: "region", Value: "emea"},
			Label{Key: "region", Value: "americas"},
		),
	}
	prod := []Label{{Key: "environment", Value: "prod"}}
	dev := []Label{{Key: "environment", Value: "dev"}}
	americas := Label{Key: "region", Value: "americas"}

	w.Sources = []Source{
		demoSource("ios-app", "iOS App", Metadata{"UBrsG9RVzw", "ios", "iOS"}, prod),
		demoSource("android-app", "Android App", Metadata{"B0X0QmvMny", "android", "Android"}, prod),
		demoSource("web-shop", "Web Shop", Metadata{"IqDTy1TpoU", "javascript", "Javascript"}, append(prod[:1:1], americas)),
		demoSource("web-shop-staging", "Web Shop (staging)", Metadata{"IqDTy1TpoU", "javascript", "Javascript"}, dev),
		demoSource("order-service", "Order Service", Metadata{"ZUTuKcUOLQ", "go", "Go"}, prod),
		demoSource("order-service-dev", "", Metadata{"ZUTuKcUOLQ", "go", "Go"}, dev),
		demoSource("support-desk", "Support Desk", Metadata{"SRUt7hm1nB", "zendesk", "Zendesk"}, nil),
		demoSource("billing", "Billing", Metadata{"j9vxDzK0aM", "stripe", "Stripe"}, nil),
	}
	w.Sources[5].Name = nil
	w.Warehouses = []Warehouse{
		demoWarehouse("analytics", `"Analytics"`, Metadata{"55d3d3aea3c", "postgres", "Postgres"}),
		demoWarehouse("finance", "", Metadata{"ZPvQwmHxkE", "snowflake", "Snowflake"}),
	}
	w.Functions = []Function{
		demoFunction("sfnc_wXzcDGFR3KmjLDrtSawNHf", "SOURCE", "Dealer Orders", "Orders that dealers send by webhook."),
		demoFunction("dfn_6914af6a9afd4af402607d9c", "DESTINATION", "Loyalty Points", "Credits points to the loyalty service."),
		demoFunction("dfn_71b2c04de8a94f5533019aa2", "DESTINATION", "Fraud Check", ""),
		demoFunction("ifnd_5fR2mXq8LkTzBv", "INSERT_DESTINATION", "Mask Phone Numbers", "Runs before every advertising destination."),
	}
	w.Spaces = []Space{
		{"spa_q92XbKf3TzVnMh6RwYdL8c", "marketing", "Marketing"},
		{"spa_4mNpWc7GxJtSe2QkZvHr5a", "customer-care", "Customer Care"},
	}

	source := func(i int) Resource { return Resource{ID: w.Sources[i].ID, Type: typeSource} }
	function := func(i int) Resource { return Resource{ID: w.Functions[i].ID, Type: typeFunction} }
	space := func(i int) Resource { return Resource{ID: w.Spaces[i].ID, Type: typeSpace} }
	everywhere := Resource{ID: w.ID, Type: typeWorkspace}
	labeled := func(ls ...Label) Resource { return Resource{ID: w.ID, Type: typeWorkspace, Labels: ls} }

	member := on(roleMinimal, everywhere)
	person := func(name string, ps ...Permission) {
		if len(ps) == 0 {
			ps = []Permission{member}
		}
		w.Users = append(w.Users, User{
			ID:          makeID("demo user", name),
			Name:        name,
			Email:       demoEmail(name),
			Permissions: ps,
		})
	}
	// Management.
	person("Ada Lindqvist", on(roleOwner, everywhere))
	person("Bruno Castellano", on(roleOwner, everywhere), on(rolePIIAccess, everywhere))
	person("Chidi Okafor", member, on(roleWarehouseReadOnly, everywhere))
	// Data platform.
	person("Dana Whitfield", member, on(roleTrackingAdmin, everywhere))
	person("Elif Aydin", member)
	person("Farid Haddad", member, on(roleSourceAdmin, source(6), source(7)))
	person("Grace Mbeki", member, on(roleFunctionsAdmin, everywhere))
	person("Henrik Solberg", member)
	person("Ines Carvalho", member, on(roleObservabilityAdmin, everywhere))
	// Mobile.
	person("Jonas Weber")
	person("Keiko Tanaka", member, on(roleSourceReadOnly, source(4)))
	person("Liam Gallagher-Reyes")
	person("Mei Chen")
	person("Nadia Rahman", member, on(roleSourceAdmin, labeled(dev...)))
	person("Oskar Nowak")
	// Web.
	person("Priya Raman")
	person("Quentin Dubois")
	person("Rosa Jimenez", member, on(roleSourceReadOnly, everywhere))
	person("Sven Eriksson")
	person("Tomasz Zielinski", member, on(roleFunctionsReadOnly, function(0), function(2)))
	person("Uma Krishnan")
	// Marketing.
	person("Valentina Rossi", member, on(roleEngageAdmin, everywhere))
	person("Wei Zhang")
	person("Ximena Flores", member, on(roleEngageReadOnlyMade, space(1)))
	person("Yara Haddad")
	person("Zoltan Kovacs")
	person("Amelie Fournier", member, on(roleEngageUserMade, space(0), space(1)))
	// Customer care.
	person("Benedikt Huber")
	person("Carmen Ortega")
	person("Dmitri Volkov")
	person("Esther Adeyemi", member, on(roleSourceReadOnly, source(6)))
	// Finance, legal, security.
	person("Fiona MacLeod", member, on(roleWarehouseAdmin, everywhere))
	person("Gustavo Pereira")
	person("Hana Novakova", member, on(rolePrivacyAdmin, everywhere))
	person("Ivan Petrov", member, on(rolePIIAccess, everywhere))
	// A contractor has access to sources only, without minimal access.
	person("Julia Santos", on(roleSourceReadOnly, source(0)))
	person("Kwame Asante", on(roleSourceAdmin, source(3), source(5)))
	person("Lotte de Vries", member, on(roleSourceReadOnly, labeled(prod[0], americas)))
	// Users who have never signed in have no name.
	person("Marek Dvorak")
	w.Users[len(w.Users)-1].Name = ""
	// An account for machines.
	person("Reporting Bot", on(roleWarehouseReadOnly, everywhere), on(roleTrackingReadOnly, everywhere))

	w.Invites = []Invite{
		{demoEmail("Noor van Dijk"), []Permission{member}},
		{demoEmail("Paolo Ricci"), []Permission{member}},
		{demoEmail("Siobhan Byrne"), []Permission{on(roleSourceReadOnly, source(0))}},
		{"agency@partner.example.com", []Permission{on(roleEngageReadOnlyMade, space(0))}},
	}

	group := func(name string, members []string, ps ...Permission) {
		w.Groups = append(w.Groups, Group{
			ID:          makeID("demo group", name),
			Name:        name,
			Members:     mapSlice(members, demoEmail),
			Permissions: ps,
		})
	}
	group("Data Platform",
		[]string{"Dana Whitfield", "Elif Aydin", "Farid Haddad", "Grace Mbeki", "Henrik Solberg", "Ines Carvalho", "Paolo Ricci"},
		member, on(roleSourceAdmin, labeled(prod...)), on(roleWarehouseAdmin, everywhere))
	group("Mobile Engineers",
		[]string{"Jonas Weber", "Keiko Tanaka", "Liam Gallagher-Reyes", "Mei Chen", "Nadia Rahman", "Oskar Nowak"},
		member, on(roleSourceAdmin, source(0), source(1)))
	group("Web Engineers",
		[]string{"Priya Raman", "Quentin Dubois", "Rosa Jimenez", "Sven Eriksson", "Tomasz Zielinski", "Uma Krishnan"},
		member, on(roleSourceAdmin, source(2), source(3)), on(roleFunctionsReadOnly, everywhere))
	group("Marketing",
		[]string{"Valentina Rossi", "Wei Zhang", "Ximena Flores", "Yara Haddad", "Zoltan Kovacs", "Amelie Fournier"},
		member, on(roleEngageUserMade, space(0)))
	group("Customer Care",
		[]string{"Benedikt Huber", "Carmen Ortega", "Dmitri Volkov", "Esther Adeyemi"},
		member, on(roleEngageReadOnlyMade, space(1)))
	group("Security Auditors",
		[]string{"Hana Novakova", "Ivan Petrov"},
		on(roleSourceReadOnly, everywhere), on(roleWarehouseReadOnly, everywhere), on(roleTrackingReadOnly, everywhere))
	group("Function Owners",
		[]string{"Grace Mbeki", "Tomasz Zielinski"},
		on(roleFunctionsAdmin, function(1), function(2)))
	group("Break Glass", nil, on(roleOwner, everywhere))
	// The rows above share slices for readability, which rows of a workspace must not.
	return w.clone()
}

// demoEmail returns first.last@example.com.
func demoEmail(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), " ", ".") + "@example.com"
}

func demoSource(slug, name string, m Metadata, labels []Label) Source {
	return Source{
		ID:        makeID("demo source", slug)[:22],
		Slug:      slug,
		Name:      &name,
		Enabled:   true,
		WriteKeys: []string{"SECRET-write-key-" + slug},
		Metadata:  m,
		Settings:  map[string]any{"webhookSecret": "SECRET-source-setting-" + slug},
		Labels:    labels,
	}
}

func demoWarehouse(slug, name string, m Metadata) Warehouse {
	h := Warehouse{
		ID:       makeID("demo warehouse", slug)[:22],
		Enabled:  true,
		Metadata: m,
		Settings: map[string]any{
			"hostname": slug + ".warehouse.example.com",
			"password": "SECRET-warehouse-password-" + slug,
		},
	}
	if name != "" {
		h.Settings["name"] = name
	}
	return h
}

func demoFunction(id, kind, name, description string) Function {
	return Function{
		ID:           id,
		DisplayName:  &name,
		Description:  description,
		ResourceType: kind,
		Code:         "// SECRET-function-code-" + id + "\nasync function onTrack(event) {}\n",
		Settings:     []FunctionSetting{{Name: "apiKey", Label: "API key", Type: "STRING", Required: true, Sensitive: true}},
	}
}
