// Package e2e holds no code: its tests speak the contract over HTTP to the built binary, as its users
// do, and do to it what happens to it.
//
//   - The story, on one process and on two, with a restart in the middle.
//   - Kick-out across processes, with Redis, without it, and with it back again.
//   - kill -9 in the middle of transfers, and at every step that a failpoint can name: of a sign-in, a kick, a
//     refresh, a posting, a rotation of keys.
//   - Outages: the database and Redis stalled, slow, deaf, cut off, killed and restarted.
//   - Nonsense: what no client should send, to every endpoint; and tokens that do not verify.
//
// What chance alone finds is looked for by cmd/internal/soak.
package e2e
