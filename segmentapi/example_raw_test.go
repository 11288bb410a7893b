package segmentapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/segmentio/public-api-sdk-go/api"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/segmentapitest"
)

// Find out which tracking plan a source uses. [segmentapi.SourceService] does not return
// that; the official client does.
func ExampleDo() {
	server := segmentapitest.Start()
	defer server.Close()
	client := server.Client // Or what segmentapi.New returns.
	ctx := context.Background()

	for _, id := range []string{"YdyIEKo8oFZMbqGH2ZjWl2", "deleted"} {
		out, err := segmentapi.Do(ctx, client, "getSource", func(ctx context.Context) api.ApiGetSourceRequest {
			return client.Raw().SourcesAPI.GetSource(ctx, id)
		})
		if errors.Is(err, segmentapi.ErrNotFound) {
			fmt.Println("there is no source", id)
			continue
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(out.Source.GetName(), "has a tracking plan:", out.TrackingPlanId.Get() != nil)
	}
	// Output:
	// Web Shop has a tracking plan: false
	// there is no source deleted
}

// Print all tracking plans, which this package has no service for.
func ExampleDoAll() {
	// This server stands in for Segment, and has two pages.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Query().Get("pagination[cursor]") {
		case "":
			_, _ = io.WriteString(w, `{"data": {"trackingPlans": [{"name": "Web"}, {"name": "Mobile"}], "pagination": {"current": "MA==", "next": "Mg=="}}}`)
		default:
			_, _ = io.WriteString(w, `{"data": {"trackingPlans": [{"name": "Server"}], "pagination": {"current": "Mg=="}}}`)
		}
	}))
	defer server.Close()
	client, err := segmentapi.New("token", segmentapi.WithBaseURL(server.URL))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()
	ctx := context.Background()

	for plan, err := range segmentapi.DoAll(ctx, client, "listTrackingPlans",
		client.Raw().TrackingPlansAPI.ListTrackingPlans, (*api.ListTrackingPlansV1Output).GetTrackingPlans) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(plan.GetName())
	}
	// Output:
	// Web
	// Mobile
	// Server
}
