// Package admin is what operators do to users: make, list, import, disable, enable, kick, ban, set a
// password, and freeze and limit wallets.
//
// It promises that whoever is disabled, banned or given another password has no live session
// afterwards: the change, the ends, their events and the audit record are one transaction, and this
// process and the others have been told when the method returns. Kicking ends sessions and changes
// nothing else. It never returns, prints or logs a hash.
//
// It refuses to guess who is meant: methods that change take the user's identifier, which
// [Users.ByName] gives for a name.
//
// The command line calls it, and package adminapi, which is its HTTP. It speaks none itself.
//
// # Import
//
// [Users.Import] reads CSV with a header, or JSON lines, as a stream: one record a line, a line of at
// most [MaxLine] bytes, nothing held but one batch. A line with a fault is reported by its number and
// skipped, or ends the import where that is asked for. A hash must be of a form that the password
// checker verifies, within its limits; it is stored as it is, and replaced at its owner's first
// sign-in.
//
// Importing is idempotent. A name that is there already is skipped and counted, so that an import that
// stopped anywhere is resumed by running it again; a line to begin with saves looking at what is known
// to be done. A name that is there under another sub, or a sub under another name, is a fault.
//
// # Design notes
//
// Resuming by a progress file beside the input was rejected: it knows what one host did, not what
// the database has; copied or stale, it skips users in silence.
//
// A record is a line: a quoted line break in CSV is a fault. Neither names nor hashes hold one, and
// with them a stray quote mark early in a file would swallow the rest of it.
//
// Faults do not quote what stands in the file: with two columns confused, that would be hashes.
//
// A batch is written by several transactions at once, because a server commits many together for
// the price of one; a name that comes twice never comes twice in one batch, so that the first wins.
//
// Enabling lifts a ban too, since an operator who enables a user wants them in again; lifting a ban
// leaves a user disabled who is. The latter goes through the ending of sessions with a session that
// does not exist, because that is the road by which an account changes with its audit record.
//
// [storage.Users.CreateUser] takes no audit record, so that of a new user is appended right after it.
// An import leaves one record with its counts, not one for each user.
package admin
