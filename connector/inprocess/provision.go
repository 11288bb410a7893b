package inprocess

import (
	"context"
	"errors"
	"fmt"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	reader "github.com/conductorone/baton-sdk/pb/c1/reader/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorstore"
	"github.com/conductorone/baton-sdk/pkg/dotc1z"
	"github.com/conductorone/baton-sdk/pkg/types/grant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// Grant gives the entitlement to the principal, both of which the file must
// have. It reports false if the principal had it already. The file stays as it
// is: what was granted is in the next sync.
func (r *Runner) Grant(ctx context.Context, file, entitlementID string, principal *v2.ResourceId) (bool, error) {
	ent, holder, err := r.lookUp(ctx, file, entitlementID, principal)
	if err != nil {
		return false, err
	}
	answer, err := r.direct.client.Grant(ctx, v2.GrantManagerServiceGrantRequest_builder{Entitlement: ent, Principal: holder}.Build())
	return changed(ctx, answer, err, &v2.GrantAlreadyExists{})
}

// Revoke takes the entitlement from the principal, both of which the file must
// have. The grant need not be there, so that what was granted after the sync can
// be revoked. It reports false if the principal did not have it.
func (r *Runner) Revoke(ctx context.Context, file, entitlementID string, principal *v2.ResourceId) (bool, error) {
	ent, holder, err := r.lookUp(ctx, file, entitlementID, principal)
	if err != nil {
		return false, err
	}
	g := v2.Grant_builder{Id: grant.NewGrantID(principal, ent), Entitlement: ent, Principal: holder}.Build()
	answer, err := r.direct.client.Revoke(ctx, v2.GrantManagerServiceRevokeRequest_builder{Grant: g}.Build())
	return changed(ctx, answer, err, &v2.GrantAlreadyRevoked{})
}

// CreateAccount makes an account of the profile, whose fields the connector's
// metadata describe. For Segment that is an invite: email, and if need be role and
// groups. The answer says whether there was one already.
func (r *Runner) CreateAccount(ctx context.Context, profile map[string]any) (*v2.CreateAccountResponse, error) {
	fields, err := structpb.NewStruct(profile)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "the profile of an account: %v", err)
	}
	answer, err := r.direct.client.CreateAccount(ctx, v2.CreateAccountRequest_builder{
		AccountInfo: v2.AccountInfo_builder{Profile: fields}.Build(),
	}.Build())
	return answer, withContextError(ctx, err)
}

// Delete removes a resource. It reports false if there was none.
func (r *Runner) Delete(ctx context.Context, id *v2.ResourceId) (bool, error) {
	answer, err := r.direct.client.DeleteResource(ctx, v2.DeleteResourceRequest_builder{ResourceId: id}.Build())
	return changed(ctx, answer, err, &v2.ResourceDoesNotExist{})
}

// changed reports whether a call changed something: it did not if its answer has
// the annotation nothing.
func changed(ctx context.Context, answer interface{ GetAnnotations() []*anypb.Any }, err error, nothing proto.Message) (bool, error) {
	if err != nil {
		return false, withContextError(ctx, err)
	}
	annos := annotations.Annotations(answer.GetAnnotations())
	return !annos.Contains(nothing), nil
}

// lookUp reads an entitlement and a principal from a file. Unlike the SDK's
// provisioner it opens the file for reading only, and closes it after an error as
// well.
func (r *Runner) lookUp(ctx context.Context, file, entitlementID string, principal *v2.ResourceId) (*v2.Entitlement, *v2.Resource, error) {
	if !r.set.provisioning {
		return nil, nil, errNotAllowed()
	}
	store, err := dotc1z.NewStore(ctx, file, dotc1z.WithReadOnly(true))
	if err != nil {
		return nil, nil, fmt.Errorf("opening %s: %w", file, err)
	}
	ent, holder, err := find(ctx, store, entitlementID, principal)
	if err = errors.Join(err, store.Close(context.WithoutCancel(ctx))); err != nil {
		return nil, nil, withContextError(ctx, fmt.Errorf("looking into %s: %w", file, err))
	}
	return ent, holder, nil
}

func find(ctx context.Context, store connectorstore.Reader, entitlementID string, principal *v2.ResourceId) (*v2.Entitlement, *v2.Resource, error) {
	resource := func(id *v2.ResourceId) (*v2.Resource, error) {
		answer, err := store.GetResource(ctx, reader.ResourcesReaderServiceGetResourceRequest_builder{ResourceId: id}.Build())
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", id.GetResourceType(), id.GetResource(), err)
		}
		return answer.GetResource(), nil
	}
	answer, err := store.GetEntitlement(ctx, reader.EntitlementsReaderServiceGetEntitlementRequest_builder{EntitlementId: entitlementID}.Build())
	if err != nil {
		return nil, nil, fmt.Errorf("entitlement %s: %w", entitlementID, err)
	}
	ent := answer.GetEntitlement()
	on, err := resource(ent.GetResource().GetId())
	if err != nil {
		return nil, nil, err
	}
	ent.SetResource(on) // In the file the entitlement has only the id of its resource.
	holder, err := resource(principal)
	return ent, holder, err
}
