// Package authserver assembles the authorization server out of its rooms and owns the table of its
// routes, and nothing else.
//
// It promises that [New] refuses a configuration in which anything is missing, naming it, so that a
// server that has started serves everything it advertises. It refuses to read files, open
// connections or listen: whoever starts the process hands it what it needs and mounts its routes.
//
// The binary calls it.
//
// Sources: RFC 6749; RFC 8414 §3 (where metadata lives for an issuer with a path).
//
// # Design notes
//
// The routes of an issuer with a path, https://id.example/tenant, are mounted below that path, and
// the metadata also where RFC 8414 §3.1 inserts it. So a proxy in front passes paths on unchanged;
// one that cut the path off would have to know that it must not do so for the inserted form.
//
// Unknown routes and methods belong to the engine, not to a group of routes, and the engine to
// whoever listens: [Server.Fallback] sets both on it.
package authserver
