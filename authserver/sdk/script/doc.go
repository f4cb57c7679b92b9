// Package script serves the JavaScript module of Tallystick: tallystick.js, the client for browsers,
// Node and WeChat mini programs. Its own beginning says what it promises and how it is used.
//
// It promises a file that is as it stands in the repository: an ES module without dependencies and
// without a build step, with types in its comments. It refuses nothing: the file is public, and pages of
// any origin may load it. Whether such a page may call the server is another matter: the
// configuration says which (cors.origins).
//
// The authorization server mounts it at /sdk/tallystick.js.
//
// Sources: RFC 9110 §8.8.3 and §13.1.2 (entity tags); RFC 9239 (text/javascript); the Fetch standard (module scripts
// are loaded by CORS; Cross-Origin-Resource-Policy).
//
// # Design notes
//
// The address carries no version: what it serves fits the server that serves it. So it may be cached
// for an hour, and an older copy may be used for a day while a newer one is fetched; browsers ask with the entity tag.
//
// A closure, not a class with private fields, holds the tokens: mini programs of older base
// libraries do not parse those.
package script
