// Package devstack is what "tallystick dev" adds to the rooms: a data folder with the secrets of the
// instance, the demo products, clients and users, and dev.json.
//
// It promises that one process at a time uses a data folder, that the folder and all in it are
// readable by its owner alone, that secrets are made at random when the folder is made and stay what
// they are until it is removed, and that dev.json appears, whole, when the instance is ready. It
// refuses addresses other than loopback, and it refuses to remove a folder that it did not make.
//
// # Design notes
//
// The demo is seeded through the same services that the command line uses, at each start: what is
// there already is left as it is, so that a start that was cut off is completed by the next one.
package devstack
