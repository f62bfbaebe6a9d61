"""What two laboratories hand each other: results as one table, a manifest of artefacts, what differs between two studies."""
