// Package cli is how every command of the binary behaves.
//
// It promises that [Run] ends with exit code 0 on success, 1 on failure and 2 on wrong usage (an
// unknown command or flag, a wrong number of arguments, an invalid value); that errors go to standard
// error, each in one line that begins with the name of the program, and results to standard output;
// that a mistyped command, flag or value is answered with the nearest known one; and that --output
// json prints one JSON value and nothing else.
//
// It refuses to call os.Exit, to write to the process's own streams, and to print a usage page in
// answer to a mistake: the one line says what to do and names --help.
//
// The commands in cmd/tallystick are its only callers.
//
// # Design notes
//
// Wrong usage is a type, [UsageError], and everything else is a failure. Commands check their own
// arguments with [Usagef]; what cobra finds wrong is turned into one by [Run], through its hooks and not
// by its texts, with the exception of unknown commands, which [Group] refuses before cobra does.
package cli
