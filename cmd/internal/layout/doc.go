// Package layout holds no code: its test enforces the map of the rooms. It checks the entries of the
// top folder, that every package has a doc.go, and that every import between our own packages is an
// arrow of the map in README.md. Tests may import what they like.
package layout
