// Package secret is a text that prints redacted.
//
// Configuration and rooms hold tokens, passwords and keys in it, so that no log line, error or dump
// of a struct can show one by accident, whatever the verb or the encoder. It does not keep a secret from
// code that asks for it ([Text.Reveal]), and does not wipe memory. It imports nothing of ours and
// everyone may import it.
//
// # Design notes
//
// The text is kept behind a pointer, because fmt does not call the methods of values in unexported
// fields: it prints such a struct by reflection, and stops at a pointer. Rejected: a named string type,
// which every conversion, comparison and %q of its underlying text gives away.
package secret
