//go:build !linux

package main

// memoryFolder says that this system has no folder in memory that everyone may use.
func memoryFolder() string { return "" }
