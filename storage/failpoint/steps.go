package failpoint

// The steps, in the order of a sign-in.
const (
	// Commit: everything of a transaction is done but the commit.
	Commit = "commit"
	// Committed: the transaction is durable, and nobody has been told.
	Committed = "committed"
	// Applied: this process acts on what was committed.
	Applied = "applied"
	// Announced: what was committed waits to be pushed to Redis.
	Announced = "announced"
	// Pushed: Redis has it.
	Pushed = "pushed"
)
