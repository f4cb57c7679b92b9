// Package password proves users by what they know.
//
// It promises:
//
//   - One refusal. An unknown user, a wrong password and a user without one are the same error,
//     [ErrWrong], with the same text, after the same work: one argon2id with the configured
//     parameters. A barred user learns of the bar only with the right password.
//   - Bounded work. At most [Config.Workers] hashes run at once, at most [Config.Queue] callers
//     wait, none longer than [Config.Wait]; one more gets [*OverloadError], to be answered with 503
//     and Retry-After. A caller that goes away gives its place back.
//   - Bounded imports. A foreign hash with parameters beyond the limits below is refused when it is
//     imported and never verified, so no file can make a sign-in take minutes or gigabytes.
//   - Upgrades. A password that proved right against a foreign or weaker hash is hashed again with
//     the configured parameters, and stored, while it is at hand.
//
// It refuses to judge composition (digits, capitals): length and a list of the worst are what counts
// (NIST SP 800-63B-4 §3.1.1.2). It does not count attempts; the brake on guessing stands before it.
//
// The password grant, account pages and administration call it. It answers to RFC 9106 (argon2),
// RFC 8265 (names, see [NormalizeUsername]), RFC 8018 (PBKDF2), RFC 2104 (HMAC) and the OWASP
// password storage guidance, whose minimum it enforces.
//
// # Forms of a hash
//
//	$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH   ours; $argon2i$ likewise. Base64 without padding.
//	$2a$12$…  $2b$…  $2y$…                     bcrypt; bytes after the 72nd do not count
//	pbkdf2_sha256$ITERATIONS$SALT$HASH         as Django writes it; also pbkdf2_sha1, pbkdf2_sha512
//	$pbkdf2-sha256$ITERATIONS$SALT$HASH        as passlib writes it; also $pbkdf2$ (SHA-1), $pbkdf2-sha512$
//	{md5}HEX$SALT$ORDER                        salted digest; also {sha1}, {sha256}
//	{hmac-sha1}HEX$KEYID                       HMAC-SHA1(key, password); the key is configured
//
// ORDER says where the salt stood: prefix, H(salt password); suffix, H(password salt); nested,
// H(hex(H(password)) salt). SALT is what stands between the first and the last dollar sign, and may
// be empty; with prefix-hex, suffix-hex or nested-hex it is written in hexadecimal. The key of a
// keyed hash is in the configuration under KEYID and never beside the hash.
//
// # Limits of foreign hashes
//
// argon2: 256 MiB, 16 passes, 1 GiB over all passes, 16 lanes. bcrypt: cost 14. PBKDF2: 4,000,000
// iterations. All of these take about a second or less on a small machine.
//
// # Memory
//
// Hashing holds Workers × Memory: with the default of one worker for each core and 19 MiB, 38 MiB on
// two cores. Each hash allocates its memory anew, so what waits for the collector is of the same
// size again; GOMEMLIMIT keeps that in hand. While imported argon2 hashes are verified, a worker may
// hold 256 MiB instead. Uncapped, 32 callers took 1.1 GiB.
//
// # Cost
//
// Verifying, its SQL included, runs at 0.99 to 1.03 of the rate of bare argon2id with the same
// parameters (27 ms on one core); the benchmark fails below 0.8:
//
//	go test -run '^$' -bench Verify -benchtime 60x -count 3 ./authserver/password
//
// # Design notes
//
// The work of a user with a foreign hash is the foreign hash plus one argon2id, right or wrong: the
// argon2id is the upgrade that a right password needs, computed before it is known whether it is. A
// foreign hash that is itself slow (bcrypt with a high cost) shows in the time until its owner's
// next sign-in; the alternative, making every refusal as slow as the slowest hash ever imported, was
// rejected because it hands the slowest import to everyone who floods the endpoint.
//
// Passwords are hashed as the bytes that came: no Unicode normalisation. RFC 8265's OpaqueString
// would change what imported hashes were made of.
//
// The queue is a channel of places: Go serves those who wait on it in the order they came, and a
// place let go is handed to the first of them rather than to a caller that has just arrived. A pool
// of goroutines was rejected: it needs a life cycle, and gains nothing.
//
// The user is read before the wait, so that no worker is held during SQL. What changes meanwhile is
// caught by [storage.Sessions.Open], which compares the credential number.
package password
