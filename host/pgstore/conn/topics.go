package conn

// Cluster is the topic of changes of members, units, commands and shared documents.
const Cluster = "cluster"
