package describe

import (
	"net/http"

	"github.com/berth-host/berth/host/api/openapi"
	"github.com/berth-host/berth/host/wire"
)

// clusterOperations are about the hosts that share a database.
func clusterOperations() []openapi.Operation {
	member := []openapi.Parameter{{In: "path", Name: "member", Description: "The name of the host: its cluster.name."}}
	const path = "/api/v1/cluster/members/{member}"
	return []openapi.Operation{
		{Method: http.MethodGet, Path: "/api/v1/cluster", ID: "getCluster", Tag: tagHost, Summary: "Show the hosts that share a database, and what each runs",
			Description: "As the host that answers saw it at its last renewal, age_ms ago. Every host answers the same then. A host that runs alone " +
				"(bus.engine is not postgres) answers shared: false, with itself as the only member.",
			Answers: answers(http.StatusOK, wire.Cluster{})},
		{Method: http.MethodPost, Path: path + "/drain", ID: "drainMember", Tag: tagHost, Summary: "Have a host give its handlers to the others",
			Description: "It takes none until undrain, or until it is started again; its API goes on. Open attempts may end: nothing is lost " +
				"or repeated. The answer comes when the host has begun; GET /api/v1/cluster shows what it still runs. There is no body. " +
				"404 when no live host has the name, 409 on a host that runs alone.",
			Parameters: member, Answers: answers(http.StatusOK, wire.ClusterMember{})},
		{Method: http.MethodPost, Path: path + "/undrain", ID: "undrainMember", Tag: tagHost, Summary: "Have a host take handlers again",
			Description: "There is no body.",
			Parameters:  member, Answers: answers(http.StatusOK, wire.ClusterMember{})},
	}
}
