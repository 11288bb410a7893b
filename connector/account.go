package connector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/grpc-ecosystem/go-grpc-middleware/logging/zap/ctxzap"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// The fields of the profile that an account is created from.
const (
	fieldEmail  = "email"
	fieldRole   = "role"
	fieldGroups = "groups"
	// fieldLogin is a field that the SDK's command line adds.
	fieldLogin = "login"
)

// accountSchema describes what an account is created from.
func accountSchema() *v2.ConnectorAccountCreationSchema {
	return v2.ConnectorAccountCreationSchema_builder{
		FieldMap: map[string]*v2.ConnectorAccountCreationSchema_Field{
			fieldEmail: v2.ConnectorAccountCreationSchema_Field_builder{
				DisplayName: "E-mail",
				Description: "Where the invite is sent to. The person becomes a user by accepting it.",
				Placeholder: "name@example.com",
				Required:    true,
				Order:       1,
				StringField: &v2.ConnectorAccountCreationSchema_StringField{},
			}.Build(),
			fieldRole: v2.ConnectorAccountCreationSchema_Field_builder{
				DisplayName: "Role",
				Description: "The name or the id of a role, for the whole workspace. Without it the person gets Minimal Workspace Access.",
				Placeholder: segmentapi.RoleSourceReadOnly,
				Order:       2,
				StringField: &v2.ConnectorAccountCreationSchema_StringField{},
			}.Build(),
			fieldGroups: v2.ConnectorAccountCreationSchema_Field_builder{
				DisplayName:     "Groups",
				Description:     "The names or the ids of groups that the person will be in. A single text may hold several, with commas between.",
				Placeholder:     "Data Platform",
				Order:           3,
				StringListField: &v2.ConnectorAccountCreationSchema_StringListField{},
			}.Build(),
		},
	}.Build()
}

// CreateAccountCapabilityDetails says that an account has no password here:
// people sign in to Segment as they chose.
func (i *inviteSyncer) CreateAccountCapabilityDetails(context.Context) (*v2.CredentialDetailsAccountProvisioning, annotations.Annotations, error) {
	return v2.CredentialDetailsAccountProvisioning_builder{
		SupportedCredentialOptions: []v2.CapabilityDetailCredentialOption{v2.CapabilityDetailCredentialOption_CAPABILITY_DETAIL_CREDENTIAL_OPTION_NO_PASSWORD},
		PreferredCredentialOption:  v2.CapabilityDetailCredentialOption_CAPABILITY_DETAIL_CREDENTIAL_OPTION_NO_PASSWORD,
	}.Build(), nil, nil
}

// CreateAccount invites a person. It ignores the credential options, because the
// SDK's command line asks for a password in any case.
func (i *inviteSyncer) CreateAccount(
	ctx context.Context, info *v2.AccountInfo, _ *v2.LocalCredentialOptions,
) (connectorbuilder.CreateAccountResponse, []*v2.PlaintextData, annotations.Annotations, error) {
	profile, err := readProfile(info)
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, workspace, err := i.c.beginChange(ctx, i.c.patient)
	if err != nil {
		return nil, nil, nil, err
	}
	in, err := i.c.invitation(ctx, workspace, profile)
	if err != nil {
		return nil, nil, nil, err
	}
	invite, err := ask(ctx, i.c, "inviting "+in.Email, func(ctx context.Context) (*segmentapi.Invite, error) {
		return i.c.patient.Invites.Create(ctx, *in)
	})
	switch {
	case errors.Is(err, segmentapi.ErrInvalid):
		return nil, nil, nil, hint(err, "check the address, and that the role can be held on the whole workspace")
	case errors.Is(err, segmentapi.ErrNotFound) && len(in.Permissions) == 0:
		return nil, nil, nil, hint(err, "name another role in the field "+fieldRole+" of the profile")
	case err != nil:
		return nil, nil, nil, err
	}
	log := ctxzap.Extract(ctx).With(zap.String("email", invite.Email))
	if invite.User != nil {
		user, userErr := userResource(workspace, *invite.User)
		if userErr != nil {
			return nil, nil, nil, userErr
		}
		if invite.Sent {
			log.Info("invited, and already accepted", zap.String("user_id", invite.User.ID))
			return v2.CreateAccountResponse_SuccessResult_builder{Resource: user, IsCreateAccountResult: true}.Build(), nil, nil, nil
		}
		log.Info("not invited: already a user of the workspace", zap.String("user_id", invite.User.ID))
		return v2.CreateAccountResponse_AlreadyExistsResult_builder{Resource: user, IsCreateAccountResult: true}.Build(), nil, nil, nil
	}
	pending, err := inviteResource(workspace, invite.Email)
	if err != nil {
		return nil, nil, nil, err
	}
	// This is a success, because the invite is a resource from now on. Its status
	// says that the person has yet to accept. ActionRequired would tell the caller to
	// do something.
	if invite.Sent {
		log.Info("invited")
		return v2.CreateAccountResponse_SuccessResult_builder{Resource: pending, IsCreateAccountResult: true}.Build(), nil, nil, nil
	}
	log.Info("not invited again: the invite is pending")
	return v2.CreateAccountResponse_ActionRequiredResult_builder{
		Resource:              pending,
		IsCreateAccountResult: true,
		Message:               invite.Email + " was invited before and must accept. An invite expires within days: delete it to send another.",
	}.Build(), nil, nil, nil
}

// An accountProfile is what the profile of an account asks for.
type accountProfile struct {
	email  string
	role   string
	groups []string
}

// readProfile reads the profile of an account.
func readProfile(info *v2.AccountInfo) (accountProfile, error) {
	if err := checkKeys(info); err != nil {
		return accountProfile{}, err
	}
	email, err := accountEmail(info)
	if err != nil {
		return accountProfile{}, err
	}
	role, err := textField(info, fieldRole)
	if err != nil {
		return accountProfile{}, err
	}
	groups, err := textsField(info, fieldGroups)
	return accountProfile{email: email, role: role, groups: groups}, err
}

// invitation looks up the role and the groups that a profile names.
func (c *Connector) invitation(ctx context.Context, workspace string, p accountProfile) (*segmentapi.Invitation, error) {
	in := &segmentapi.Invitation{Email: p.email}
	if p.role != "" {
		roles, err := readAll(ctx, c, "listing roles", c.patient.Roles.All(ctx))
		if err != nil {
			return nil, err
		}
		roleID, err := choose(fieldRole, p.role, roles, func(r segmentapi.Role) (string, string) { return r.ID, r.Name })
		if err != nil {
			return nil, err
		}
		in.Permissions = []segmentapi.Permission{{RoleID: roleID, Scopes: []segmentapi.Scope{{Type: segmentapi.ScopeWorkspace, ID: workspace}}}}
	}
	var err error
	in.Groups, err = c.chosenGroups(ctx, p.groups)
	return in, err
}

// chosenGroups returns the ids of the groups that a profile names.
func (c *Connector) chosenGroups(ctx context.Context, asked []string) ([]string, error) {
	if len(asked) == 0 {
		return nil, nil
	}
	known, err := readAll(ctx, c, "listing groups", c.patient.Groups.All(ctx))
	if noGroups(err) {
		return nil, withoutGroups(err)
	} else if err != nil {
		return nil, err
	}
	of := func(g segmentapi.Group) (string, string) { return g.ID, g.Name }
	// A group may have a comma in its name.
	if len(asked) == 1 && len(matches(asked[0], known, of)) == 0 {
		asked = slices.DeleteFunc(strings.Split(asked[0], ","), func(s string) bool { return strings.TrimSpace(s) == "" })
	}
	var ids []string
	for _, group := range asked {
		id, chooseErr := choose(fieldGroups, strings.TrimSpace(group), known, of)
		if chooseErr != nil {
			return nil, chooseErr
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// checkKeys refuses a profile with a key that is not known: it may be a misspelled one,
// and the invite would give less than was asked for.
func checkKeys(info *v2.AccountInfo) error {
	known := []string{fieldEmail, fieldGroups, fieldRole}
	var unknown []string
	for key := range info.GetProfile().GetFields() {
		if key != fieldLogin && !slices.Contains(known, key) {
			unknown = append(unknown, strconv.Quote(key))
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	keys := "key"
	if len(unknown) > 1 {
		keys += "s"
	}
	message := fmt.Sprintf("the profile has the unknown %s %s", keys, clip(strings.Join(unknown, ", "), maxDisplayName))
	return status.Errorf(codes.InvalidArgument, "%s: the keys are email, groups and role", message)
}

// accountEmail returns the e-mail in the profile. It does not take one from elsewhere:
// the SDK's command line makes an empty profile of one that does not parse, and then
// adds the login.
func accountEmail(info *v2.AccountInfo) (string, error) {
	email, err := textField(info, fieldEmail)
	if err != nil {
		return "", err
	}
	fields := info.GetProfile().GetFields()
	_, hasLogin := fields[fieldLogin]
	switch {
	case email != strings.TrimSpace(email):
		// A blank such as a no-break space comes with copied text and is no part of an address.
		return "", status.Error(codes.InvalidArgument, clip(fmt.Sprintf("%q is not an e-mail address", email), maxDescription))
	case email != "":
	case len(fields) == 0, len(fields) == 1 && hasLogin:
		return "", status.Errorf(codes.InvalidArgument, `the profile has no %s: it is empty or is not a JSON object: give it as {"email": "name@example.com"}`, fieldEmail)
	default:
		return "", status.Errorf(codes.InvalidArgument, "the profile has no %s: give the address that the invite is to be sent to", fieldEmail)
	}
	login, err := textField(info, fieldLogin)
	if err != nil {
		return "", err
	}
	for _, other := range []string{login, trimBlanks(info.GetLogin())} {
		// A login may also be the name of an account in another system.
		if strings.Contains(other, "@") && segmentapi.FoldEmail(other) != segmentapi.FoldEmail(email) {
			return "", status.Error(codes.InvalidArgument, clip(fmt.Sprintf("the login %q is another address than the email %q: give the one that the invite is to be sent to",
				clip(other, maxDisplayName/2), clip(email, maxDisplayName/2)), maxDescription))
		}
	}
	return email, nil
}

func textField(info *v2.AccountInfo, name string) (string, error) {
	switch value := info.GetProfile().AsMap()[name].(type) {
	case nil:
		return "", nil
	case string:
		return trimBlanks(value), nil
	default:
		return "", status.Errorf(codes.InvalidArgument, "the field %s of the profile must be a string", name)
	}
}

// trimBlanks removes spaces, tabs and line breaks around s. It keeps other blanks of
// Unicode, such as the no-break space: without them an e-mail may be somebody else's.
func trimBlanks(s string) string { return strings.Trim(s, " \t\r\n") }

// textsField returns a list of strings. It takes a single string for a list of
// one.
func textsField(info *v2.AccountInfo, name string) ([]string, error) {
	list, ok := info.GetProfile().AsMap()[name].([]any)
	if !ok {
		text, err := textField(info, name)
		if err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "the field %s of the profile must be a list of strings", name)
		}
		list = []any{text}
	}
	var texts []string
	for _, value := range list {
		text, isText := value.(string)
		if !isText {
			return nil, status.Errorf(codes.InvalidArgument, "the field %s of the profile must be a list of strings", name)
		}
		if text = strings.TrimSpace(text); text != "" {
			texts = append(texts, text)
		}
	}
	return texts, nil
}

// maxChoices is how many roles or groups readAll reads. A list with more rows is one
// without an end, and all of its rows are in memory.
const maxChoices = 100_000

// readAll reads a list to its end.
func readAll[T any](ctx context.Context, c *Connector, what string, list iter.Seq2[T, error]) ([]T, error) {
	return ask(ctx, c, what, func(context.Context) ([]T, error) {
		var rows []T
		for row, err := range list {
			if err != nil {
				return nil, err
			}
			if len(rows) == maxChoices {
				return nil, fmt.Errorf("%w: more than %d rows", segmentapi.ErrBadResponse, maxChoices)
			}
			rows = append(rows, row)
		}
		return rows, nil
	})
}

// matches returns the id of the row that has the id asked for. If there is none, it
// returns the ids of the rows that have it as their name, in upper or lower case.
func matches[T any](asked string, rows []T, of func(T) (string, string)) []string {
	var named []string
	for _, row := range rows {
		id, name := of(row)
		if id == asked {
			return []string{id}
		}
		if strings.EqualFold(strings.TrimSpace(name), asked) {
			named = append(named, id)
		}
	}
	return named
}

// maxCandidates is how many names an error lists.
const maxCandidates = 20

// choose returns the id of the one row that has an id or a name.
func choose[T any](field, asked string, rows []T, of func(T) (string, string)) (string, error) {
	found := matches(asked, rows, of)
	switch len(found) {
	case 0:
		var names []string
		for _, row := range rows {
			id, name := of(row)
			names = append(names, displayName(name, id))
		}
		slices.Sort(names)
		if more := len(names) - maxCandidates; more > 0 {
			names = append(names[:maxCandidates], fmt.Sprintf("%d more", more))
		}
		return "", status.Error(codes.InvalidArgument, clip(fmt.Sprintf("the field %s of the profile: no name or id matches %q; there are: %s",
			field, asked, cmp.Or(strings.Join(names, ", "), "none")), maxDescription))
	case 1:
		return found[0], nil
	}
	return "", status.Errorf(codes.InvalidArgument, "the field %s of the profile: several have the name %q: use one of the ids %s",
		field, asked, strings.Join(found, ", "))
}
